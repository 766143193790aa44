//! A whole system under attack, and a checker of its promises: several coordinators, many agents, a real Redis, and everything that can happen to them.
