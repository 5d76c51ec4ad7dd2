"""What is seen of the running router: polls, facts, verdicts, and what they were."""
