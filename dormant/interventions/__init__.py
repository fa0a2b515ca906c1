"""What is done to a network while it trains: score, selection, action, and what they make up."""
