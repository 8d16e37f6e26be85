"""Business actions of the services, a module (or package) a service, named by its slug with underscores."""
