//! Publications and subscriptions over Aeron and in process
