"""What must survive a restart: values, files, and the one writer's lock."""
