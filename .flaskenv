# Read by `flask run` through python-dotenv: local settings that are no secrets.
FLASK_RUN_PORT=3000
