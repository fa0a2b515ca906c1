"""The paper's figures and tables as named experiments: which runs each has, and how to run them.
`python -m dormant.reproduce --list` shows all of them."""
