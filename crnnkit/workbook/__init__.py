"""What the numbered notebooks stand on."""
