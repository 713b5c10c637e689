"""The page of the rendering benchmark, from the rows of its parts."""

from __future__ import annotations

from machine import markdown_table

OPENING = """# Accuracy and speed of rendering

Written by `tests/benchmarks/rendering.py`; each part has its own date. Sizes are in pixels, errors are the largest over
all pixels of the image in units of the galaxy's peak pixel. Gaussian PSF of the given FWHM, before the pixel; square
pixels; float64; PA 37 degrees; the centre is off a pixel's by (0.31, -0.27).
"""

TRUTH = """The truth is an integration in real space (`tests/helpers/truth_image.py`): the brightness, in square cells
quartered until it is smooth in each, times the PSF integrated over the pixel. No Fourier transform or table is shared
with the package, and a second quadrature, in polar coordinates about the source, agrees to 1e-12 of the peak
(`tests/render/test_truth.py`).
"""

PEERS = """The worst of FWHM 2.0 and 4.3, stamp 101, q 0.6; the first row is the demo's r band (500x500, FWHM 4.3, n
1.7, Re 47.7, q 0.62). A dash: the code's documents exclude the index, it gave no number, or (GalSim, n Re > 250) its
transform would take gigabytes. GalSim with folding_threshold 1e-4 (1e-3 where n Re > 100), kvalue_accuracy 1e-6 and
maxk_threshold 1e-4. AstroPhot's `sersic galaxy model` with its default integration; pysersic's default
`HybridRenderer`, in float32 as it comes. The PSF's stamp reaches to 6 standard deviations and is effective (pixel
included), optical (samples of the Gaussian) or fine (optical, three samples a pixel): the column says which a code
was given.
"""

SPEED = """The demo's r band: 500x500, FWHM 4.3, n 1.7, Re 47.7, q 0.62, one galaxy and a flat sky, whose eight
parameters are x, y, q, PA, n, Re, one brightness and the sky. Each code in a process of its own, all of them one
after the other on one core, twice over: the lesser of two medians, of processor time, which is what an idle core
takes. The gradient is that of chi2, with its value. Ours takes the Jacobian one
parameter after another, as the fit does. The first calls are those of forward, gradient and Jacobian
together, compilation included, without a compilation cache;
ours with `bj.compiler_options()`, as the package compiles its own. Peak memory is that of the whole process. AstroPhot has
an optical PSF, pysersic an effective one; PSF x3: three samples a pixel.

Temporary arrays of tens of megabytes may be taken anew from the system at every call, which clears their pages first:
a gradient then takes up to 2.5 times as long, or not, as the allocator's history has it. "Heap kept" has glibc keep
them (`MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4000000000`).
"""


def page(found: dict, csv_name: str) -> str:
    """The page of the parts that are there."""
    sections = {
        "accuracy": accuracy_section,
        "sizes": sizes_section,
        "edges": edges_section,
        "peers": peers_section,
        "speed": speed_section,
    }
    text = OPENING
    for part, section in sections.items():
        if part in found:
            title, body = section(found[part]["rows"], csv_name)
            text += f"\n## {title}\n\n{found[part]['measured']}\n\n{body}"
    return text


def accuracy_section(rows: dict, csv_name: str) -> tuple[str, str]:
    """Worst errors by n and Re, and the list of cases over 1e-6."""
    below = ", ".join(f"{count} below {limit}" for limit, count in rows["below"].items())
    counts = (
        f"{rows['count']} cases, all in [{csv_name}]({csv_name}): {below}. The bound is 1e-5, and 1e-4 where Re is larger "
        f"than the stamp; {len(rows['over'])} cases are over it.\n"
    )
    error, *at = rows["float32"]
    below = ", ".join(f"{count} below {limit}" for limit, count in rows["float32_below"].items())
    counts += f"\nIn float32, against float64: {below}; the worst {short(error)} at n {at[0]:g}, Re {at[1]:g}, q {at[2]:g}, "
    counts += f"FWHM {at[3]:g}, stamp {at[4]:g}.\n"
    lines = [TRUTH, counts]
    columns = ("n", "Re", "worst error", "at q, FWHM, stamp", "worst flux in the stamp", "at q, FWHM, stamp")
    worst = [(n, re, short(e), place(*a), short(f), place(*b)) for n, re, e, *a, f, b in split(rows["worst"])]
    lines += [markdown_table(columns, worst), f"### The {len(rows['listed'])} cases over 1e-6\n"]
    lines += ["Worst first; a dash where a seeing's error is under 1e-6.\n", listed_table(rows["listed"])]
    return "Ours against brute force", "\n".join(lines)


def listed_table(listed: list) -> str:
    """Every listed case, those that differ in FWHM alone on one line."""
    widths = sorted({row[3] for row in listed})
    lines: dict[tuple, dict] = {}
    for n, re, q, fwhm, stamp, error, *_ in listed:
        lines.setdefault((n, re, q, stamp), {})[fwhm] = error
    columns = ("n", "Re", "q", "stamp", *(f"FWHM {fwhm:g}" for fwhm in widths))
    return markdown_table(columns, [(*key, *(short(e.get(w)) for w in widths)) for key, e in lines.items()])


def split(worst: list):
    """n, Re, error, its place (three numbers), flux error, its place in one."""
    return [(*row[:7], row[7:]) for row in worst]


def place(q, fwhm, stamp) -> str:
    """Where an error was found."""
    return f"{q:g}, {fwhm:g}, {stamp:g}"


def short(error) -> str:
    """Two digits, or a dash."""
    return "-" if error is None else f"{error:.1e}"


def sizes_section(rows: list, csv_name: str) -> tuple[str, str]:
    """Tiny and overfilling galaxies."""
    about = "The worst over n 0.5 to 8 and all FWHM; float32 against float64.\n"
    columns = ("Re", "stamp", "q", "n 0.5", "n 1 to 8", "flux in the stamp", "float32")
    table = markdown_table(columns, [(f"{row[0]:g}", *row[1:3], *map(short, row[3:])) for row in rows])
    return "Far smaller than a pixel, and three times the stamp", f"{about}\n{table}"


def edges_section(rows: list, csv_name: str) -> tuple[str, str]:
    """Sources near and off the edge."""
    about = "q 0.62, FWHM 4.3; in units of the source's own peak, which for the last rows lies outside the image.\n"
    columns = ("stamp", "n", "Re", "pixels beyond", "over an edge", "over a corner")
    table = markdown_table(columns, [(*row[:4], *map(short, row[4:])) for row in rows])
    return "Sources near and off the edge", f"{about}\n{table}"


def peers_section(rows: dict, csv_name: str) -> tuple[str, str]:
    """Every code on part of the grid."""
    versions = ", ".join(f"{name} {version}" for name, version in rows["versions"].items())
    table = markdown_table(
        ("n", "Re", *rows["columns"]), [(*row[:2], *map(short, row[2:])) for row in rows["rows"]]
    )
    return "Against the peers", f"{versions}.\n\n{PEERS}\n{table}"


def speed_section(rows: dict, csv_name: str) -> tuple[str, str]:
    """Speed and memory of every code, then ours over one FFT and with ten sources."""
    for report in rows.values():
        report |= {f"{a}/{b}": report[a] / report[b] for a, b in RATIOS if a in report and b in report}
    table = [
        (what, *(cell(report, key, digits) for report in rows.values())) for what, key, digits in COMPARED
    ]
    own = [name for name in rows if name.startswith("ours")]
    ours = [(what, *(cell(rows[name], key, digits) for name in own)) for what, key, digits in OURS]
    return "Speed and memory", "\n".join(
        [SPEED, markdown_table(("", *rows), table), markdown_table(("", *own), ours)]
    )


def cell(report: dict, key: str, digits: int) -> str:
    """A number of a report, rounded."""
    value = report.get(key)
    return "-" if value is None else value if isinstance(value, str) else f"{value:.{digits}f}"


COMPARED = (
    ("precision", "precision", 0),
    ("parameters", "parameters", 0),
    ("forward, ms", "forward_ms", 1),
    ("value and gradient, ms", "gradient_ms", 1),
    ("Jacobian, ms", "jacobian_ms", 1),
    ("Jacobian over gradient", "jacobian_ms/gradient_ms", 1),
    ("first calls together, s", "first_s", 1),
    ("the same with XLA's own options, s", "default_first_s", 1),
    ("import, s", "import_s", 1),
    ("peak memory, MB", "peak_mb", 0),
    ("of which after import, MB", "import_mb", 0),
)
OURS = (
    ("one irfft2 of the padded grid, ms", "irfft2_ms", 2),
    ("forward over it", "forward_ms/irfft2_ms", 1),
    ("value and gradient over it", "gradient_ms/irfft2_ms", 1),
    ("Jacobian over it", "jacobian_ms/irfft2_ms", 1),
    ("Jacobian of all parameters at once (`jax.jacfwd`), ms", "jacfwd_ms", 1),
    ("that over the gradient", "jacfwd_ms/gradient_ms", 1),
    ("temporary memory of the forward model, in images of 500x500 float64", "forward_images", 1),
    ("of value and gradient", "gradient_images", 1),
    ("of the Jacobian", "jacobian_images", 1),
    ("of the Jacobian at once", "jacfwd_images", 1),
    ("one source of Re 3 in the same image, forward, ms", "one_small_ms", 1),
    ("the same, value and gradient, ms", "one_small_gradient_ms", 1),
    ("ten of them, in windows of 48 pixels, over that one: forward", "ten_ms/one_small_ms", 1),
    ("the same, value and gradient", "ten_gradient_ms/one_small_gradient_ms", 1),
    ("temporary memory of value and gradient of ten, in images", "ten_gradient_images", 1),
)
RATIOS = (
    ("jacobian_ms", "gradient_ms"),
    ("jacfwd_ms", "gradient_ms"),
    ("forward_ms", "irfft2_ms"),
    ("gradient_ms", "irfft2_ms"),
    ("jacobian_ms", "irfft2_ms"),
    ("ten_ms", "one_small_ms"),
    ("ten_gradient_ms", "one_small_gradient_ms"),
)
