"""Evaluation: questions with pictures to a model's answers, and answers to the scores that published tables print."""
