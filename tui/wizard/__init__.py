"""The wizard as an application: its state, the tasks that derive it, and the services that screens ask.

Knows the screens and terminal; screens know its state and services, not the application.
"""
