//! Where on a page text is drawn.

/// Room that is a blank, in ems. Blanks are wider, and shifts within words narrower.
const BLANK: f32 = 0.18;

/// What is between two pieces of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// They touch.
    None,
    /// Room for a blank.
    Word,
    /// The second one is on another line.
    Line,
}

/// An affine map as PDF writes it: `x' = a x + c y + e`, `y' = b x + d y + f`.
#[derive(Clone, Copy, Debug)]
struct Matrix([f32; 6]);

impl Matrix {
    const IDENTITY: Self = Self([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);

    /// This one first, then the other.
    #[expect(clippy::many_single_char_names, reason = "these are their names")]
    fn then(self, other: Self) -> Self {
        let [a, b, c, d, e, f] = self.0;
        let [p, q, r, s, t, u] = other.0;
        Self([
            a * p + b * r,
            a * q + b * s,
            c * p + d * r,
            c * q + d * s,
            e * p + f * r + t,
            e * q + f * s + u,
        ])
    }

    fn moved(self, x: f32, y: f32) -> Self {
        Self([1.0, 0.0, 0.0, 1.0, x, y]).then(self)
    }

    /// Where its origin is.
    const fn origin(self) -> (f32, f32) {
        (self.0[4], self.0[5])
    }
}

/// The state of the drawing, as far as it says where text goes (ISO 32000-1, 8.4 and 9.4).
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    page: Matrix,
    saved: Vec<Matrix>,
    line: Matrix,
    text: Matrix,
    leading: f32,
    size: f32,
    /// Whether the text was placed anew since the last piece.
    is_placed: bool,
    /// What was drawn last.
    last: Option<Drawn>,
}

#[derive(Clone, Copy, Debug)]
struct Drawn {
    start: f32,
    end: f32,
    height: f32,
    /// How far off the guess of the end may be.
    slack: f32,
}

impl Default for Cursor {
    fn default() -> Self {
        Self {
            page: Matrix::IDENTITY,
            saved: Vec::new(),
            line: Matrix::IDENTITY,
            text: Matrix::IDENTITY,
            leading: 0.0,
            size: 1.0,
            is_placed: false,
            last: None,
        }
    }
}

impl Cursor {
    /// Follows an operator that moves something; others do nothing.
    pub(super) fn apply(&mut self, operator: &str, numbers: [f32; 6]) {
        let [x, y, ..] = numbers;
        match operator {
            "q" => self.saved.push(self.page),
            "Q" => self.page = self.saved.pop().unwrap_or(self.page),
            "cm" => self.page = Matrix(numbers).then(self.page),
            "BT" => self.place(Matrix::IDENTITY),
            "Tm" => self.place(Matrix(numbers)),
            "Td" => self.place(self.line.moved(x, y)),
            "TD" => {
                self.leading = -y;
                self.place(self.line.moved(x, y));
            }
            "TL" => self.leading = x,
            "T*" => self.next_line(),
            _ => {}
        }
    }

    pub(super) fn next_line(&mut self) {
        self.place(self.line.moved(0.0, -self.leading));
    }

    fn place(&mut self, line: Matrix) {
        self.line = line;
        self.text = line;
        self.is_placed = true;
    }

    pub(super) const fn set_size(&mut self, size: f32) {
        self.size = size;
    }

    /// Moves left by thousandths of the size.
    pub(super) fn shift(&mut self, thousandths: f32) {
        self.text = self.text.moved(-thousandths / 1000.0 * self.size, 0.0);
    }

    /// Draws something so wide, in ems, and says what is between it and what was drawn before. A
    /// width that was `guessed` is off by some part.
    pub(super) fn show(&mut self, ems: f32, guessed: bool) -> Gap {
        let place = self.text.then(self.page);
        let (start, height) = place.origin();
        let [a, b, ..] = place.0;
        let em = a.hypot(b) * self.size.abs();
        self.text = self.text.moved(ems * self.size, 0.0);
        let (end, _) = self.text.then(self.page).origin();
        let slack = if guessed { ems * 0.1 * em } else { 0.0 };
        let was_placed = std::mem::take(&mut self.is_placed);
        let Some(last) = self.last.replace(Drawn { start, end, height, slack }) else {
            return Gap::None;
        };
        // What was only shifted is as far away as the shift says, wherever it is.
        let slack = if was_placed { last.slack } else { 0.0 };
        let gap = start - last.end;
        if (height - last.height).abs() > 0.5 * em {
            Gap::Line
        } else if gap > slack + BLANK * em || (was_placed && start < last.start) {
            Gap::Word
        } else {
            Gap::None
        }
    }

    /// As it was before a drawing within the drawing; what that drew stays drawn.
    pub(super) fn return_to(&mut self, before: Self) {
        let last = self.last;
        *self = Self { last, ..before };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [f32; 6] = [0.0; 6];

    fn at(x: f32, y: f32) -> [f32; 6] {
        [x, y, 0.0, 0.0, 0.0, 0.0]
    }

    #[test]
    fn lines_and_words_are_told_apart_by_where_they_are() {
        let mut cursor = Cursor::default();
        cursor.set_size(10.0);
        cursor.apply("BT", NONE);
        cursor.apply("Td", at(50.0, 700.0));
        assert_eq!(cursor.show(2.0, false), Gap::None);
        assert_eq!(cursor.show(1.0, false), Gap::None);
        cursor.shift(-120.0);
        assert_eq!(cursor.show(1.0, false), Gap::None);
        cursor.shift(-300.0);
        assert_eq!(cursor.show(1.0, false), Gap::Word);
        // Below, then beside, then a little above, as an exponent is.
        cursor.apply("TD", at(0.0, -12.0));
        assert_eq!(cursor.show(2.0, false), Gap::Line);
        cursor.apply("Td", at(23.0, 0.0));
        assert_eq!(cursor.show(1.0, false), Gap::Word);
        cursor.apply("Td", at(10.0, 3.0));
        assert_eq!(cursor.show(1.0, false), Gap::None);
        cursor.next_line();
        assert_eq!(cursor.show(1.0, false), Gap::Line);
    }

    #[test]
    fn the_page_may_be_moved_and_moved_back() {
        let mut cursor = Cursor::default();
        cursor.set_size(10.0);
        for (y, gap) in [(700.0, Gap::None), (688.0, Gap::Line), (676.0, Gap::Line)] {
            cursor.apply("q", NONE);
            cursor.apply("cm", [1.0, 0.0, 0.0, 1.0, 50.0, y]);
            cursor.apply("BT", NONE);
            assert_eq!(cursor.show(2.0, false), gap);
            cursor.apply("Q", NONE);
        }
        // One `Q` too many changes nothing.
        cursor.apply("Q", NONE);
        cursor.apply("Tm", [1.0, 0.0, 0.0, 1.0, 73.0, 676.0]);
        assert_eq!(cursor.show(1.0, false), Gap::Word);
    }

    #[test]
    fn a_guessed_width_leaves_room_for_the_truth() {
        let mut cursor = Cursor::default();
        cursor.set_size(10.0);
        cursor.apply("Tm", [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        cursor.show(4.0, true);
        cursor.apply("Tm", [1.0, 0.0, 0.0, 1.0, 44.0, 0.0]);
        assert_eq!(cursor.show(4.0, true), Gap::None);
        cursor.apply("Tm", [1.0, 0.0, 0.0, 1.0, 100.0, 0.0]);
        assert_eq!(cursor.show(4.0, true), Gap::Word);
    }
}
