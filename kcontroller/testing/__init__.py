"""What tests of kcontroller and of controllers built on it need; nothing else in the package imports it."""
