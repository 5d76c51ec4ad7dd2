"""From order to router: a pass observes, plans, executes and verifies; the queue says which comes next."""
