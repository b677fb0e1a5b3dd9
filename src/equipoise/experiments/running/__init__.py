"""How a recipe is run: the plan, the runner, and the folder that holds its results."""
