//! Connections: order, gaps, role, protocol. (Filled in next.)
