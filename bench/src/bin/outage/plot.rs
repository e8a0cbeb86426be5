//! The seconds as a picture: calls above, how long they took below.

use std::convert::Infallible;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_8X13;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{Line, PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Alignment, Text};

use crate::load::Second;
use crate::table::ms;
use crate::{Result, beginnings};

const WIDTH: u32 = 1200;
const HEIGHT: u32 = 760;
const LEFT: i32 = 80;
const RIGHT: i32 = 1180;
const ABOVE: (i32, i32) = (60, 360);
const BELOW: (i32, i32) = (430, 710);
/// The milliseconds that the lower part shows, by powers of ten.
const POWERS: (i32, i32) = (-3, 3);

const INK: Rgb888 = Rgb888::new(40, 40, 40);
const GRID: Rgb888 = Rgb888::new(222, 222, 222);
const SHADE: Rgb888 = Rgb888::new(250, 238, 226);
const BLUE: Rgb888 = Rgb888::new(31, 119, 180);
const GREEN: Rgb888 = Rgb888::new(44, 160, 44);
const RED: Rgb888 = Rgb888::new(214, 39, 40);
const GRAY: Rgb888 = Rgb888::new(120, 120, 120);

/// What it is called, how it is drawn, and which part of a second it is.
type Shown<V> = (&'static str, Rgb888, fn(&Second) -> V);

struct Canvas(Vec<u8>);

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(WIDTH, HEIGHT)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> std::result::Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(at, color) in pixels {
            if let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y))
                && x < WIDTH as usize
                && y < HEIGHT as usize
            {
                let at = (y * WIDTH as usize + x) * 3;
                self.0[at..at + 3].copy_from_slice(&[color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

/// Draws into a file.
pub(crate) fn draw(seconds: &[Second], path: &Path) -> Result<()> {
    let mut canvas = Canvas(vec![255; (WIDTH * HEIGHT * 3) as usize]);
    let scale = Scale { seconds: seconds.len() };
    phases(&mut canvas, &scale)?;
    let most = seconds.iter().map(|second| second.calls).max().unwrap_or(1).max(1);
    let count = |count: usize| {
        let part = number(count) / number(most);
        scale.height(ABOVE, part)
    };
    for part in 0..=4 {
        let value = most * part / 4;
        grid(&mut canvas, count(value), &value.to_string())?;
    }
    let counts: [Shown<usize>; 3] = [
        ("calls", GRAY, |second| second.calls),
        ("hits", GREEN, |second| second.hits),
        ("bodies", RED, |second| usize::try_from(second.bodies).unwrap_or(usize::MAX)),
    ];
    for (at, (name, color, of)) in counts.into_iter().enumerate() {
        let points = seconds.iter().map(|second| count(of(second)));
        curve(&mut canvas, &scale, points, color)?;
        legend(&mut canvas, ABOVE.1 + 20, at, name, color)?;
    }
    let time = |ms: f64| {
        let (from, to) = (f64::from(POWERS.0), f64::from(POWERS.1));
        scale.height(BELOW, (ms.max(1e-9).log10().clamp(from, to) - from) / (to - from))
    };
    for power in POWERS.0..=POWERS.1 {
        let ms = 10f64.powi(power);
        grid(&mut canvas, time(ms), &format!("{ms} ms"))?;
    }
    let times: [Shown<f64>; 3] = [
        ("body alone, median", GRAY, |second| ms(second.alone)),
        ("median", BLUE, |second| ms(second.p50)),
        ("99 of 100", RED, |second| ms(second.p99)),
    ];
    for (at, (name, color, of)) in times.into_iter().enumerate() {
        let points = seconds.iter().map(|second| time(of(second)));
        curve(&mut canvas, &scale, points, color)?;
        legend(&mut canvas, BELOW.1 + 20, at, name, color)?;
    }
    text(&mut canvas, Point::new(LEFT, 20), "calls in each second, and how long they took", INK)?;
    write(&canvas, path)
}

struct Scale {
    seconds: usize,
}

impl Scale {
    fn x(&self, second: usize) -> i32 {
        let at = i32::try_from(second).unwrap_or(i32::MAX);
        let all = i32::try_from(self.seconds).unwrap_or(i32::MAX).max(1);
        LEFT + (RIGHT - LEFT) * at / all
    }

    #[expect(clippy::cast_possible_truncation, reason = "a place on the canvas")]
    #[expect(clippy::unused_self, reason = "beside the other axis")]
    fn height(&self, (top, bottom): (i32, i32), part: f64) -> i32 {
        bottom - (f64::from(bottom - top) * part).round() as i32
    }
}

#[expect(clippy::cast_precision_loss, reason = "a place on the canvas")]
fn number(count: usize) -> f64 {
    count as f64
}

fn phases(canvas: &mut Canvas, scale: &Scale) -> Result<()> {
    let begins = beginnings();
    for (at, (second, name)) in begins.iter().enumerate() {
        let next = begins.get(at + 1).map_or(scale.seconds, |(next, _)| second_of(*next));
        let (from, to) = (scale.x(second_of(*second)), scale.x(next));
        if !matches!(*name, "well" | "back") {
            for (top, bottom) in [ABOVE, BELOW] {
                Rectangle::with_corners(Point::new(from, top), Point::new(to, bottom))
                    .into_styled(PrimitiveStyle::with_fill(SHADE))
                    .draw(canvas)?;
            }
        }
        let style = MonoTextStyle::new(&FONT_8X13, INK);
        let middle = Point::new(i32::midpoint(from, to), ABOVE.0 - 10);
        Text::with_alignment(name, middle, style, Alignment::Center).draw(canvas)?;
    }
    Ok(())
}

fn second_of(second: u64) -> usize {
    usize::try_from(second).unwrap_or(usize::MAX)
}

fn grid(canvas: &mut Canvas, y: i32, label: &str) -> Result<()> {
    Line::new(Point::new(LEFT, y), Point::new(RIGHT, y))
        .into_styled(PrimitiveStyle::with_stroke(GRID, 1))
        .draw(canvas)?;
    let style = MonoTextStyle::new(&FONT_8X13, INK);
    Text::with_alignment(label, Point::new(LEFT - 6, y + 4), style, Alignment::Right)
        .draw(canvas)?;
    Ok(())
}

fn curve(
    canvas: &mut Canvas,
    scale: &Scale,
    heights: impl Iterator<Item = i32>,
    color: Rgb888,
) -> Result<()> {
    let mut before: Option<Point> = None;
    for (second, y) in heights.enumerate() {
        let (from, to) = (Point::new(scale.x(second), y), Point::new(scale.x(second + 1), y));
        let style = PrimitiveStyle::with_stroke(color, 2);
        if let Some(before) = before {
            Line::new(before, from).into_styled(style).draw(canvas)?;
        }
        Line::new(from, to).into_styled(style).draw(canvas)?;
        before = Some(to);
    }
    Ok(())
}

fn legend(canvas: &mut Canvas, y: i32, at: usize, name: &str, color: Rgb888) -> Result<()> {
    let x = LEFT + 220 * i32::try_from(at).unwrap_or(0);
    Line::new(Point::new(x, y - 4), Point::new(x + 24, y - 4))
        .into_styled(PrimitiveStyle::with_stroke(color, 3))
        .draw(canvas)?;
    text(canvas, Point::new(x + 32, y), name, INK)
}

fn text(canvas: &mut Canvas, at: Point, text: &str, color: Rgb888) -> Result<()> {
    Text::new(text, at, MonoTextStyle::new(&FONT_8X13, color)).draw(canvas)?;
    Ok(())
}

fn write(canvas: &Canvas, path: &Path) -> Result<()> {
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&canvas.0)?;
    Ok(())
}
