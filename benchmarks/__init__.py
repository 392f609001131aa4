"""What every claim of speed and quality rests on: commands that print figures beside their yardsticks."""
