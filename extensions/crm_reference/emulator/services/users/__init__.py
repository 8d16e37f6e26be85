"""Users: people, groups, teams, roles and provisioning, a module for each subject."""
