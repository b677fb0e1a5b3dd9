"""What is run: recipes, the paper's among them."""
