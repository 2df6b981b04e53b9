//! Tests of stored trajectories, their costs and the schedules chosen on them, against closed forms.

mod fitted;
mod trajectory;
