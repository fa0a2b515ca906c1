# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""ReDo in a small transformer of Flax that learns a poem character by character.
Recycled are the neurons of its MLPs and the channels of its attention's values.
The lines that end with `# dormant` are all that ReDo adds; without them this is plain training."""

import argparse

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import dormant  # dormant

# Lewis Carroll, Jabberwocky (1871).
TEXT = """'Twas brillig, and the slithy toves
Did gyre and gimble in the wabe:
All mimsy were the borogoves,
And the mome raths outgrabe.

"Beware the Jabberwock, my son!
The jaws that bite, the claws that catch!
Beware the Jubjub bird, and shun
The frumious Bandersnatch!"

He took his vorpal sword in hand;
Long time the manxome foe he sought--
So rested he by the Tumtum tree
And stood awhile in thought.

And, as in uffish thought he stood,
The Jabberwock, with eyes of flame,
Came whiffling through the tulgey wood,
And burbled as it came!

One, two! One, two! And through and through
The vorpal blade went snicker-snack!
He left it dead, and with its head
He went galumphing back.

"And hast thou slain the Jabberwock?
Come to my arms, my beamish boy!
O frabjous day! Callooh! Callay!"
He chortled in his joy.
"""
CHARACTERS = sorted(set(TEXT))


class Block(nn.Module):
    """Pre-norm: attention, then an MLP, each added to the residual stream."""

    heads: int

    @nn.compact
    def __call__(self, x, mask):
        width = x.shape[-1]
        x = x + nn.MultiHeadDotProductAttention(self.heads, name="attention")(
            nn.LayerNorm()(x), mask=mask
        )
        hidden = nn.relu(nn.Dense(4 * width, name="up")(nn.LayerNorm()(x)))
        return x + nn.Dense(width, name="down")(hidden)


class Transformer(nn.Module):
    layers: int = 2
    heads: int = 4
    width: int = 64
    context: int = 32

    @nn.compact
    def __call__(self, tokens):
        position = self.param("position", nn.initializers.normal(0.02), (self.context, self.width))
        x = nn.Embed(len(CHARACTERS), self.width, name="embed")(tokens)
        x = x + position[: tokens.shape[-1]]
        mask = nn.make_causal_mask(tokens)
        for layer in range(self.layers):
            x = Block(self.heads, name=f"block_{layer}")(x, mask)
        return nn.Dense(len(CHARACTERS), name="head")(nn.LayerNorm()(x))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    text = np.array([CHARACTERS.index(character) for character in TEXT])
    rng = np.random.default_rng(args.seed)
    init_key, redo_key = jax.random.split(jax.random.key(args.seed))
    model = Transformer()

    def sample_batch() -> np.ndarray:
        """Rows of one character more than the context: inputs, and what comes after each."""
        starts = rng.integers(len(text) - model.context, size=args.batch_size)
        return text[starts[:, None] + np.arange(model.context + 1)]

    def init(key: jax.Array):
        return model.init(key, jnp.zeros((1, model.context), jnp.int32))

    params = init(init_key)
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(args.learning_rate))
    # Tables that are looked up in, such as the embedding, have no neurons to recycle.
    tokens = sample_batch()[:, :-1]
    graph = dormant.trace(model.apply, params, tokens, leave_out=["embed"])  # dormant
    redo = dormant.redo(graph, init, tx, tau=0.1, period=100)  # dormant
    tx = dormant.as_transformation(tx, redo, redo_key)  # dormant
    opt_state = tx.init(params)

    @jax.jit
    def train_step(params, opt_state, batch):
        inputs, targets = batch[:, :-1], batch[:, 1:]

        def loss_fn(params):
            logits = model.apply(params, inputs)
            return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

        loss, grads = jax.value_and_grad(loss_fn)(params)
        updates, opt_state = tx.update(
            grads,
            opt_state,
            params,
            inputs=inputs,  # dormant
        )
        return optax.apply_updates(params, updates), opt_state, loss

    for step in range(1, args.steps + 1):
        params, opt_state, loss = train_step(params, opt_state, sample_batch())
        if step % 100 == 0:
            print(f"step={step}, loss={float(loss):.4f}")
            report = opt_state.intervention.report  # dormant
            fraction = report.dormant_fraction(0.1)  # dormant
            print(f"dormant={fraction:.3f}, recycled={report.recycled_total}")  # dormant

    predict = jax.jit(model.apply)
    tokens = text[: model.context]
    for _ in range(100):
        logits = predict(params, tokens[None, -model.context :])
        tokens = np.append(tokens, int(jnp.argmax(logits[0, -1])))
    print("".join(CHARACTERS[token] for token in tokens))


if __name__ == "__main__":
    main()
