"""From a network's own computation to its neuron graph: jaxpr, propagation, layers."""
