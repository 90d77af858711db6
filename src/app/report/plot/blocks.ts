/** Frames around repeated blocks ("layer.0", "layer.1", …) from module paths, up to the first number. Of two crossing frames the lower is dropped. */
import { groupBy } from "../../../core/tensor/group-by.ts";
import type { Placed } from "./draw.ts";

export interface Framed {
  readonly path: string;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export interface Frame extends Placed {
  readonly label: string;
}

const minBoxes = 3;
const padding = { side: 14, head: 12, foot: 12 };

export function frames(boxes: readonly Framed[]): readonly Frame[] {
  const members = new Map<string, { readonly stem: string; readonly label: string; readonly boxes: Framed[] }>();
  for (const box of boxes) {
    const named = blockOf(box.path);
    if (named === undefined) continue;
    const block = members.get(named.key) ?? { ...named, boxes: [] };
    members.set(named.key, block);
    block.boxes.push(box);
  }
  const large = [...members.values()].filter((block) => block.boxes.length >= minBoxes);
  const repeated = [...groupBy(large, ({ stem }) => stem).values()].filter(({ length }) => length > 1).flat();
  const kept: Frame[] = [];
  for (const frame of repeated.map((block) => frameAround(block.label, block.boxes)).toSorted((a, b) => a.y - b.y))
    if (!kept.some((other) => cross(frame, other))) kept.push(frame);
  return kept;
}

/** "/encoder/layer.3/attention/MatMul" and "encoder.layer.3.attention" are in the block "layer.3" of the stem "encoder.layer". */
function blockOf(path: string): { readonly key: string; readonly stem: string; readonly label: string } | undefined {
  const parts = path.split(/[/.]/).filter((part) => part !== "");
  // The last part names the node itself; its number counts nodes.
  const position = parts.findIndex((part, index) => index < parts.length - 1 && /^(.*[_-])?\d+$/.test(part));
  if (position < 0) return undefined;
  const part = parts[position] ?? "";
  const isBare = /^\d+$/.test(part);
  const before = parts.slice(0, position);
  return {
    key: [...before, part].join("."),
    stem: [...before, part.replace(/\d+$/, "")].join("."),
    label: isBare && position > 0 ? `${before.at(-1)}.${part}` : part,
  };
}

function frameAround(label: string, boxes: readonly Framed[]): Frame {
  const max = (value: (box: Framed) => number): number =>
    boxes.reduce((high, box) => Math.max(high, value(box)), -Infinity);
  const x = -max((box) => -box.left) - padding.side;
  const y = -max((box) => -box.top) - padding.head;
  const width = max((box) => box.right) + padding.side - x;
  return { x, y, width, height: max((box) => box.bottom) + padding.foot - y, label };
}

/** Frames may share only the space between two rows. */
function cross(a: Frame, b: Frame): boolean {
  const deep = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  const wide = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  return wide > 0 && deep > padding.head + padding.foot;
}
