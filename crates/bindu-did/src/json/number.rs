//! Floating-point numbers as ECMAScript and as Python print them.
//!
//! Both take the fewest digits that read back as the same number, and differ
//! only in when they use an exponent and how they write it.

use std::fmt::Write;

/// The shortest digits of a finite number, which is 0.`digits` × 10^`point`.
struct Decimal {
    negative: bool,
    digits: String,
    point: i32,
}

impl Decimal {
    fn new(number: f64) -> Self {
        let negative = number.is_sign_negative();
        let number = number.abs();
        let mut text = format!("{number:e}");
        // Where two shortest texts are equally near, the standard library may take
        // the odd one. Both languages take the even one, and so does rounding to a
        // given length. With fewer than 16 digits there is no such tie.
        let length = text.bytes().take_while(|&byte| byte != b'e').count();
        if length > 16 {
            let exact = format!("{number:.*e}", length - 2);
            if exact.parse() == Ok(number) {
                text = exact;
            }
        }
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = mantissa.replace('.', "");
        let exponent: i32 = exponent.parse().unwrap_or_default();
        Self { negative, digits, point: exponent + 1 }
    }

    /// Without exponent; `point` may lie left or right of the digits.
    fn fixed(&self, out: &mut String) {
        let length = self.digits.len();
        match usize::try_from(self.point) {
            Ok(point) if point >= length => {
                out.push_str(&self.digits);
                out.extend(std::iter::repeat_n('0', point - length));
            }
            Ok(point) if point > 0 => {
                out.push_str(&self.digits[..point]);
                out.push('.');
                out.push_str(&self.digits[point..]);
            }
            _ => {
                out.push_str("0.");
                out.extend((self.point..0).map(|_| '0'));
                out.push_str(&self.digits);
            }
        }
    }

    /// `d.ddd`, and the exponent that belongs to it.
    fn scientific(&self, out: &mut String) -> i32 {
        let (first, rest) = self.digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        self.point - 1
    }
}

/// ECMAScript's `Number::toString`, as RFC 8785 section 3.2.2.3 asks.
pub(super) fn write_ecmascript(number: f64, out: &mut String) {
    if number == 0.0 {
        return out.push('0');
    }
    let decimal = Decimal::new(number);
    if decimal.negative {
        out.push('-');
    }
    if decimal.point > -6 && decimal.point <= 21 {
        decimal.fixed(out);
    } else {
        let exponent = decimal.scientific(out);
        // Writing to a string does not fail.
        let _ = write!(out, "e{exponent:+}");
    }
}

/// Python's `repr` of a float.
pub(super) fn write_python(number: f64, out: &mut String) {
    let decimal = Decimal::new(number);
    if decimal.negative {
        out.push('-');
    }
    if decimal.point > -4 && decimal.point <= 16 {
        let start = out.len();
        decimal.fixed(out);
        if !out[start..].contains('.') {
            out.push_str(".0");
        }
    } else {
        let exponent = decimal.scientific(out);
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "e{sign}{:02}", exponent.abs());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ecmascript(number: f64) -> String {
        let mut out = String::new();
        write_ecmascript(number, &mut out);
        out
    }

    fn python(number: f64) -> String {
        let mut out = String::new();
        write_python(number, &mut out);
        out
    }

    #[test]
    fn the_samples_of_rfc_8785_appendix_b() {
        for (bits, expected) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(ecmascript(f64::from_bits(bits)), expected, "{bits:016x}");
        }
    }

    #[test]
    fn python_writes_a_point_or_a_two_digit_exponent() {
        for (number, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(python(number), expected);
        }
    }

    proptest! {
        #[test]
        fn both_forms_read_back_as_the_same_number(bits: u64) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            prop_assert_eq!(python(number).parse::<f64>().unwrap().to_bits(), bits);
            // ECMAScript has no negative zero.
            let expected = if number == 0.0 { 0 } else { bits };
            prop_assert_eq!(ecmascript(number).parse::<f64>().unwrap().to_bits(), expected);
        }
    }
}
