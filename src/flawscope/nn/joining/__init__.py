"""Maps of several banks measured by what good pictures have, and joined in one."""
