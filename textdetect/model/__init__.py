"""The detector: weights, the engines that run them, the rule that turns scores into verdicts."""
