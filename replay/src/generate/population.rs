//! Who pays where: customers with their habits, and the terminals near them.
//!
//! Invariant: a function of the configuration and the seed.

use super::payments::PaymentsConfig;
use super::random::Random;

/// The square in which everyone lives has sides of this length.
const SIDE: f64 = 100.0;

/// The cells per side of the grid that finds near terminals, at most.
const CELLS_MAX: usize = 512;

/// How one customer pays.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) mean_amount: f64,
    pub(crate) deviation: f64,
    pub(crate) mean_per_day: f64,
    /// Terminals within the radius.
    pub(crate) terminals: Vec<u32>,
}

/// All customers; terminals are numbers.
#[derive(Clone, Debug)]
pub(crate) struct Population {
    pub(crate) customers: Vec<Customer>,
    pub(crate) terminal_count: u32,
}

#[derive(Clone, Copy)]
struct Point {
    x: f64,
    y: f64,
}

impl Point {
    fn draw(random: &mut Random) -> Self {
        Self {
            x: random.uniform(0.0, SIDE),
            y: random.uniform(0.0, SIDE),
        }
    }

    fn is_within(self, other: Self, radius: f64) -> bool {
        let (x, y) = (self.x - other.x, self.y - other.y);
        x * x + y * y < radius * radius
    }
}

impl Population {
    pub(crate) fn draw(config: &PaymentsConfig) -> Self {
        let mut random = Random::new(config.seed, *b"terminal", 0);
        let places: Vec<Point> = (0..config.terminals).map(|_| Point::draw(&mut random)).collect();
        let grid = Grid::new(&places, config.radius);
        let mut random = Random::new(config.seed, *b"customer", 0);
        let customers = (0..config.customers)
            .map(|_| Customer::draw(&mut random, &grid))
            .collect();
        Self {
            customers,
            terminal_count: config.terminals,
        }
    }
}

impl Customer {
    fn draw(random: &mut Random, grid: &Grid<'_>) -> Self {
        let place = Point::draw(random);
        let mean_amount = random.uniform(5.0, 100.0);
        Self {
            mean_amount,
            deviation: mean_amount / 2.0,
            mean_per_day: random.uniform(0.0, 4.0),
            terminals: grid.near(place),
        }
    }
}

/// Terminals by the cell of the square they stand in. A cell is at least as wide as the radius.
struct Grid<'a> {
    places: &'a [Point],
    radius: f64,
    cells_per_side: usize,
    cells: Vec<Vec<u32>>,
}

impl<'a> Grid<'a> {
    fn new(places: &'a [Point], radius: f64) -> Self {
        let cells_per_side = ((SIDE / radius) as usize).clamp(1, CELLS_MAX);
        let mut grid = Self {
            places,
            radius,
            cells_per_side,
            cells: vec![Vec::new(); cells_per_side * cells_per_side],
        };
        for (terminal, place) in (0..).zip(places) {
            let cell = grid.cell(grid.step(place.x), grid.step(place.y));
            grid.cells[cell].push(terminal);
        }
        grid
    }

    /// The terminals within the radius, lowest number first.
    fn near(&self, place: Point) -> Vec<u32> {
        let (column, row) = (self.step(place.x), self.step(place.y));
        let around = |step: usize| step.saturating_sub(1)..=(step + 1).min(self.cells_per_side - 1);
        let cells = around(column).flat_map(|column| around(row).map(move |row| (column, row)));
        let candidates = cells.flat_map(|(column, row)| &self.cells[self.cell(column, row)]);
        let is_near = |terminal: &u32| self.places[*terminal as usize].is_within(place, self.radius);
        let mut near: Vec<u32> = candidates.copied().filter(is_near).collect();
        near.sort_unstable();
        near
    }

    fn step(&self, coordinate: f64) -> usize {
        ((coordinate / SIDE * self.cells_per_side as f64) as usize).min(self.cells_per_side - 1)
    }

    fn cell(&self, column: usize, row: usize) -> usize {
        column * self.cells_per_side + row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grid_finds_what_a_full_search_finds() {
        let mut random = Random::new(5, *b"grid\0\0\0\0", 0);
        let places: Vec<Point> = (0..500).map(|_| Point::draw(&mut random)).collect();
        for radius in [0.1, 5.0, 33.0, 200.0] {
            let grid = Grid::new(&places, radius);
            for _ in 0..50 {
                let place = Point::draw(&mut random);
                let all = (0_u32..)
                    .zip(&places)
                    .filter(|(_, other)| place.is_within(**other, radius));
                assert_eq!(
                    grid.near(place),
                    all.map(|(terminal, _)| terminal).collect::<Vec<_>>()
                );
            }
        }
    }
}
