# mypy: ignore-errors
# ruff: noqa: PLR0917, RUF046, UP018 - kernels take no keywords, and int() makes a variable of a constant
"""Warp kernels of the bitmap packer. Importing this module imports Warp: go through ``bitmap_packing``.

A picture is one chart in one orientation: ``height`` rows of ``words`` words of 64 cells, bit 0 leftmost. The square
is kept ``LEVELS`` times, level k with every cell that is taken or has a taken one within the ``2^k - 1`` to its
right, so that a run of any length is tested with two reads for 64 places at once.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})

SLACK = wp.constant(wp.float64(0.02))
"""Cells by which a triangle counts as wider than it is, so that rounding of coordinates takes nothing away."""
PROBES = wp.constant(6)
"""Rows of a picture that are tested before all others."""


@wp.func
def bits_from(first: int):
    """All bits from ``first`` on; none from 64 on."""
    if first >= 64:
        return wp.uint64(0)
    return (~wp.uint64(0)) << wp.uint64(first)


@wp.func
def shifted(rows: wp.array(dtype=wp.uint64), base: int, bit: int):
    """64 cells from ``bit`` on, of a row that starts at word ``base``."""
    word = base + bit // 64
    part = bit % 64
    low = rows[word] >> wp.uint64(part)
    if part == 0:
        return low
    return low | (rows[word + 1] << wp.uint64(64 - part))


@wp.kernel
def draw(
    corners: wp.array2d(dtype=wp.float64),
    picture_of: wp.array(dtype=wp.int32),
    starts: wp.array(dtype=wp.int32),
    words: wp.array(dtype=wp.int32),
    reach: int,
    bitmap: wp.array(dtype=wp.uint64),
):
    """Set the cells that a triangle touches, and ``reach`` more to their right; one call a triangle."""
    index = wp.tid()
    picture = picture_of[index]
    least = wp.min(wp.min(corners[index, 1], corners[index, 3]), corners[index, 5])
    most = wp.max(wp.max(corners[index, 1], corners[index, 3]), corners[index, 5])
    first = wp.max(int(wp.floor(least - SLACK)), 0)
    last = int(wp.floor(most + SLACK))
    for row in range(first, last + 1):
        top = wp.float64(row) - SLACK
        bottom = wp.float64(row + 1) + SLACK
        left = wp.float64(1.0e30)
        right = wp.float64(-1.0e30)
        for k in range(3):
            x0 = corners[index, 2 * k]
            y0 = corners[index, 2 * k + 1]
            x1 = corners[index, 2 * ((k + 1) % 3)]
            y1 = corners[index, 2 * ((k + 1) % 3) + 1]
            if wp.min(y0, y1) <= bottom and wp.max(y0, y1) >= top:
                begin = wp.float64(0.0)
                end = wp.float64(1.0)
                if y1 != y0:
                    one = (top - y0) / (y1 - y0)
                    two = (bottom - y0) / (y1 - y0)
                    begin = wp.max(wp.min(one, two), begin)
                    end = wp.min(wp.max(one, two), end)
                xa = x0 + begin * (x1 - x0)
                xb = x0 + end * (x1 - x0)
                left = wp.min(left, wp.min(xa, xb))
                right = wp.max(right, wp.max(xa, xb))
        if right >= left:
            begin_cell = wp.max(int(wp.floor(left - SLACK)), 0)
            end_cell = int(wp.floor(right + SLACK)) + reach
            base = starts[picture] + row * words[picture]
            for word in range(begin_cell // 64, end_cell // 64 + 1):
                mask = bits_from(wp.max(begin_cell - word * 64, 0)) & ~bits_from(wp.min(end_cell + 1 - word * 64, 64))
                bitmap[base + word] = bitmap[base + word] | mask


@wp.kernel
def thicken(
    starts: wp.array(dtype=wp.int32),
    words: wp.array(dtype=wp.int32),
    heights: wp.array(dtype=wp.int32),
    reach: int,
    bitmap: wp.array(dtype=wp.uint64),
):
    """Set ``reach`` more cells below every set one; one call a picture."""
    picture = wp.tid()
    width = words[picture]
    for i in range(heights[picture]):
        row = heights[picture] - 1 - i
        for word in range(width):
            place = starts[picture] + row * width + word
            value = bitmap[place]
            for step in range(1, wp.min(reach, row) + 1):
                value = value | bitmap[place - step * width]
            bitmap[place] = value


@wp.kernel
def count_runs(
    starts: wp.array(dtype=wp.int32),
    words: wp.array(dtype=wp.int32),
    heights: wp.array(dtype=wp.int32),
    rows: wp.array(dtype=wp.int32),
    bitmap: wp.array(dtype=wp.uint64),
    counts: wp.array(dtype=wp.int32),
):
    """Runs of set cells in every row of a picture; one call a picture."""
    picture = wp.tid()
    for row in range(heights[picture]):
        base = starts[picture] + row * words[picture]
        before = wp.uint64(0)
        found = int(0)
        for word in range(words[picture]):
            value = bitmap[base + word]
            rises = value & ~((value << wp.uint64(1)) | before)
            before = value >> wp.uint64(63)
            while rises != wp.uint64(0):
                rises = rises & (rises - wp.uint64(1))
                found += 1
        counts[rows[picture] + row] = found


@wp.kernel
def list_runs(
    starts: wp.array(dtype=wp.int32),
    words: wp.array(dtype=wp.int32),
    heights: wp.array(dtype=wp.int32),
    rows: wp.array(dtype=wp.int32),
    bitmap: wp.array(dtype=wp.uint64),
    firsts: wp.array(dtype=wp.int32),
    runs: wp.array2d(dtype=wp.int32),
    widest: wp.array2d(dtype=wp.int32),
):
    """Start, length and level (the greatest k with 2^k no longer) of every run; one call a picture.

    ``widest`` gets the row and the length of the longest run of the picture.
    """
    picture = wp.tid()
    for row in range(heights[picture]):
        base = starts[picture] + row * words[picture]
        slot = firsts[rows[picture] + row]
        inside = int(0)
        for bit in range(words[picture] * 64):
            value = (bitmap[base + bit // 64] >> wp.uint64(bit % 64)) & wp.uint64(1)
            if value == wp.uint64(1):
                if inside == 0:
                    runs[slot, 0] = bit
                    runs[slot, 1] = 0
                    inside = 1
                runs[slot, 1] = runs[slot, 1] + 1
            elif inside == 1:
                inside = 0
                slot += 1
        for at in range(firsts[rows[picture] + row], firsts[rows[picture] + row + 1]):
            level = int(0)
            while (2 << level) <= runs[at, 1]:
                level += 1
            runs[at, 2] = level
            if runs[at, 1] > widest[picture, 1]:
                widest[picture, 0] = row
                widest[picture, 1] = runs[at, 1]


@wp.func
def room_in_row(
    y: int,
    word: int,
    picture_row: int,
    firsts: wp.array(dtype=wp.int32),
    runs: wp.array2d(dtype=wp.int32),
    stride: int,
    plane: int,
    square: wp.array(dtype=wp.uint64),
    wanted: wp.uint64,
):
    """Of the 64 columns from ``word`` on and ``wanted``, those where a row of a picture may lie in row ``y``."""
    room = wanted
    for at in range(firsts[picture_row], firsts[picture_row + 1]):
        start = runs[at, 0] + word * 64
        layer = runs[at, 2] * plane + y * stride
        room = room & ~shifted(square, layer, start)
        rest = runs[at, 1] - (1 << runs[at, 2])
        if rest > 0:
            room = room & ~shifted(square, layer, start + rest)
    return room


@wp.func
def room_for(
    y: int,
    word: int,
    first_row: int,
    height: int,
    firsts: wp.array(dtype=wp.int32),
    runs: wp.array2d(dtype=wp.int32),
    stride: int,
    plane: int,
    square: wp.array(dtype=wp.uint64),
    wanted: wp.uint64,
):
    """Of the 64 columns from ``word`` on and ``wanted``, those where a picture may lie with its top in row ``y``.

    Some rows spread over the picture are asked first: they find nearly every obstacle.
    """
    room = wanted
    for probe in range(PROBES):
        row = (2 * probe + 1) * height // (2 * PROBES)
        room = room_in_row(y + row, word, first_row + row, firsts, runs, stride, plane, square, room)
        if room == wp.uint64(0):
            break
    if room != wp.uint64(0):
        for row in range(height):
            room = room_in_row(y + row, word, first_row + row, firsts, runs, stride, plane, square, room)
            if room == wp.uint64(0):
                break
    return room


@wp.func
def lowest_bit(value: wp.uint64):
    """Number of the lowest set bit."""
    rest = value
    bit = int(0)
    while (rest & wp.uint64(1)) == wp.uint64(0):
        rest = rest >> wp.uint64(1)
        bit += 1
    return bit


@wp.func
def longest_gap(base: int, size: int, square: wp.array(dtype=wp.uint64)):
    """Cells in the longest free run of a row."""
    longest = int(0)
    now = int(0)
    for bit in range(size):
        if ((square[base + bit // 64] >> wp.uint64(bit % 64)) & wp.uint64(1)) == wp.uint64(0):
            now += 1
            longest = wp.max(longest, now)
        else:
            now = 0
    return longest


@wp.func
def take(
    x: int,
    y: int,
    picture: int,
    height: int,
    rows: wp.array(dtype=wp.int32),
    firsts: wp.array(dtype=wp.int32),
    runs: wp.array2d(dtype=wp.int32),
    stride: int,
    plane: int,
    levels: int,
    square: wp.array(dtype=wp.uint64),
):
    """Mark the cells of a picture as taken, in all levels."""
    for row in range(height):
        base = (y + row) * stride
        for at in range(firsts[rows[picture] + row], firsts[rows[picture] + row + 1]):
            begin = runs[at, 0] + x
            end = begin + runs[at, 1]
            for word in range(begin // 64, (end - 1) // 64 + 1):
                mask = bits_from(wp.max(begin - word * 64, 0)) & ~bits_from(wp.min(end - word * 64, 64))
                square[base + word] = square[base + word] | mask
        for level in range(levels - 1):
            here = level * plane + base
            reach = 1 << level
            for word in range(stride - 1):
                value = square[here + word]
                if word * 64 + reach < (stride - 1) * 64:
                    value = value | shifted(square, here, word * 64 + reach)
                square[here + plane + word] = value


@wp.kernel
def place_all(
    order: wp.array(dtype=wp.int32),
    first_picture: wp.array(dtype=wp.int32),
    widths: wp.array(dtype=wp.int32),
    heights: wp.array(dtype=wp.int32),
    rows: wp.array(dtype=wp.int32),
    firsts: wp.array(dtype=wp.int32),
    runs: wp.array2d(dtype=wp.int32),
    widest: wp.array2d(dtype=wp.int32),
    size: int,
    stride: int,
    levels: int,
    tall: int,
    square: wp.array(dtype=wp.uint64),
    gaps: wp.array(dtype=wp.int32),
    result: wp.array2d(dtype=wp.int32),
):
    """Put chart after chart where ``2 y + tall * height`` is least; stop at the first that does not fit.

    ``gaps`` holds the longest free run of every row, so that rows without room are passed over at once.
    ``result`` gets picture, column and row of each chart; picture -1 where it was not placed.
    """
    plane = stride * size
    for turn in range(order.shape[0]):
        chart = order[turn]
        best_cost = int(1073741824)
        best = wp.vec3i(-1, 0, 0)
        for picture in range(first_picture[chart], first_picture[chart + 1]):
            height = heights[picture]
            free = size - widths[picture] + 1
            y = int(0)
            while free > 0 and y + height <= size and 2 * y + tall * height < best_cost:
                if gaps[y + widest[picture, 0]] >= widest[picture, 1]:
                    for word in range((free + 63) // 64):
                        wanted = ~bits_from(wp.min(free - word * 64, 64))
                        room = room_for(y, word, rows[picture], height, firsts, runs, stride, plane, square, wanted)
                        if room != wp.uint64(0) and 2 * y + tall * height < best_cost:
                            best_cost = 2 * y + tall * height
                            best = wp.vec3i(picture, word * 64 + lowest_bit(room), y)
                y += 1
        result[chart, 0] = best[0]
        result[chart, 1] = best[1]
        result[chart, 2] = best[2]
        if best[0] < 0:
            break
        take(best[1], best[2], best[0], heights[best[0]], rows, firsts, runs, stride, plane, levels, square)
        for row in range(best[2], best[2] + heights[best[0]]):
            gaps[row] = longest_gap(row * stride, size, square)
