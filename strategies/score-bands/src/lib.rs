//! Approve, review or decline a payment by its score
