/** Frames around repeated blocks ("layer.0", "layer.1", …) from module paths, up to the first number. Of two crossing frames the lower is dropped. */
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

const fewest = 3;
const room = { side: 14, head: 12, foot: 12 };

export function frames(boxes: readonly Framed[]): readonly Frame[] {
  const members = new Map<string, { readonly stem: string; readonly label: string; readonly boxes: Framed[] }>();
  for (const box of boxes) {
    const found = blockOf(box.path);
    if (found === undefined) continue;
    const block = members.get(found.key) ?? { ...found, boxes: [] };
    members.set(found.key, block);
    block.boxes.push(box);
  }
  const large = [...members.values()].filter((block) => block.boxes.length >= fewest);
  const alike = new Map<string, number>();
  for (const { stem } of large) alike.set(stem, (alike.get(stem) ?? 0) + 1);
  const found = large
    .filter(({ stem }) => (alike.get(stem) ?? 0) > 1)
    .map(({ label, boxes: own }) => frame(label, own));
  const kept: Frame[] = [];
  for (const one of found.toSorted((a, b) => a.y - b.y)) if (!kept.some((other) => cross(one, other))) kept.push(one);
  return kept;
}

/** "/encoder/layer.3/attention/MatMul" and "encoder.layer.3.attention": the block "layer.3" of the stem "encoder.layer". */
function blockOf(path: string): { readonly key: string; readonly stem: string; readonly label: string } | undefined {
  const parts = path.split(/[/.]/).filter((part) => part !== "");
  // The last part names the node itself; its number counts nodes.
  const place = parts.findIndex((part, index) => index < parts.length - 1 && /^(.*[_-])?\d+$/.test(part));
  if (place < 0) return undefined;
  const part = parts[place] ?? "";
  const bare = /^\d+$/.test(part);
  const before = parts.slice(0, place);
  return {
    key: [...before, part].join("."),
    stem: [...before, part.replace(/\d+$/, "")].join("."),
    label: bare && place > 0 ? `${parts[place - 1]}.${part}` : part,
  };
}

function frame(label: string, boxes: readonly Framed[]): Frame {
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const box of boxes) {
    left = Math.min(left, box.left);
    right = Math.max(right, box.right);
    top = Math.min(top, box.top);
    bottom = Math.max(bottom, box.bottom);
  }
  const [x, y] = [left - room.side, top - room.head];
  return { x, y, width: right + room.side - x, height: bottom + room.foot - y, label };
}

/** Frames may share only the space between two rows. */
function cross(a: Frame, b: Frame): boolean {
  const deep = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  const wide = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  return wide > 0 && deep > room.head + room.foot;
}
