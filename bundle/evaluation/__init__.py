"""Scores of predictions against labels: Dice, surface distances and the error of the vertical cup-to-disc ratio.

``configs/evaluate.json`` attaches ``ScoresSaver`` to its evaluator. No other stage uses labels of a target.
"""
