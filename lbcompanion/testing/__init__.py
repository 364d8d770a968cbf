"""What tests of this project and of its plugins share: strategies, contract suites, doubles that fail on purpose."""
