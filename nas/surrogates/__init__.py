"""What is learned of expensive objectives from few evaluations, and which to evaluate next."""
