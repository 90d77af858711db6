/** Chooses places of labels next to their points, so that they do not cover each other. */

export interface Label {
  readonly x: number;
  readonly y: number;
  readonly text: string;
}

export interface PlacedLabel extends Label {
  readonly anchor: "start" | "end";
}

/** Pixels of a letter, of a line, and between a point and its label. */
const [letter, line, gap] = [7, 15, 10];

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/**
 * Returns each label at the first free place: above or below its point, on the right or on the left; then further away.
 * @param width of the picture in pixels, which no label leaves if it fits.
 */
export function placeLabels(labels: readonly Label[], width: number): readonly PlacedLabel[] {
  const usedBoxes: Box[] = labels.map(({ x, y }) => ({ left: x - 5, right: x + 5, top: y - 5, bottom: y + 5 }));
  return labels.map(({ x, y, text }) => {
    const places = [0, 1, 2, 3].flatMap((step) =>
      [-8 - step * line, 16 + step * line].flatMap((shift) =>
        (["start", "end"] as const).map(
          (anchor): PlacedLabel => ({
            text,
            anchor,
            x: anchor === "start" ? x + gap : x - gap,
            y: y + shift,
          }),
        ),
      ),
    );
    const isFree = (place: PlacedLabel): boolean => {
      const box = boxOf(place);
      return box.left >= 0 && box.right <= width && !usedBoxes.some((other) => overlap(box, other));
    };
    const placed = places.find(isFree) ?? (places[0] as PlacedLabel);
    usedBoxes.push(boxOf(placed));
    return placed;
  });
}

function boxOf({ x, y, text, anchor }: PlacedLabel): Box {
  const width = letter * text.length;
  const start = anchor === "start" ? x : x - width;
  return { left: start, right: start + width, top: y - 11, bottom: y + 4 };
}

const overlap = (a: Box, b: Box): boolean =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
