import { type Example, table } from "./define.examples.ts";

const list = (name: string, values: string): string =>
  values === "" ? "" : `${name}: int64[${values.split(",").length}] = [${values}];`;
const slice = table({}, (x, starts = "", ends = "", axes = "", steps = "") => {
  const stored = Object.entries({ starts, ends, axes, steps }).map(([name, values]) => list(name, values));
  return `(x: float32[${x}]) ${stored.join(" ")} y = Slice(x, starts, ends, ${(axes && "axes") || "_"}, ${(steps && "steps") || "_"})`;
});
const pad = table(
  {},
  (x, pads = "", call = "y = Pad(x, pads)", settings = "") =>
    `(x: float32[${x}]) ${list("pads", pads)} ${call} {${settings}}`,
);
const end = 9223372036854775807n;

export const sliceExamples: readonly Example[] = [
  ...slice`
    Slice of a range | batch, 5 | 1 | 4 | 1
    Slice from the end | batch, 5 | -3 | -1 | -1
    Slice of two axes without naming them | 4, 5 | 1, 2 | 3, 5
    Slice past the end | batch, 3 | 1 | 1000 | 1
    Slice of the whole axis | batch, 3 | 0 | 1000 | 1
    Slice of nothing | 2, 3 | 2 | 2 | 1
    Slice with a step | batch, 7 | 1 | 7 | 1 | 2
    Slice backwards | batch, 5 | -1 | -1000 | 1 | -1
    Slice backwards by two | 5, 4 | 10, 0 | 0, 4 | 0, 1 | -2, 3
    Slice with steps along the same grid | 4, 6 | 0, 1 | 4, 6 | 0, 1 | 2, 2
  `,
  ...table()`
    Slice to the end as exporters write it |
      (x: float32[batch, 4]) starts: int64[1] = [1]; ends: int64[1] = [${end}]; axes: int64[1] = [1]; y = Slice(x, starts, ends, axes)
    Slice with 32-bit bounds |
      (x: float32[batch, 5]) starts: int32[2] = [0, 1]; ends: int32[2] = [1000000000, 4]; axes: int32[2] = [0, 1]; y = Slice(x, starts, ends, axes)
    Slice to the end through a cast that changes nothing |
      (x: float32[batch, 4]) starts: int64[1] = [1]; end: int64[1] = [${end}]; axes: int64[1] = [1]; ends = Cast(end) {to=7};
      y = Slice(x, starts, ends, axes)
    Slice of the batch to the end |
      (x: float32[batch, 2]) starts: int64[1] = [1]; ends: int64[1] = [${end}]; y = Slice(x, starts, ends) | sizes batch: 3
    Slice of the last of the batch |
      (x: float32[batch, 2]) starts: int64[1] = [-1]; ends: int64[1] = [${end}]; y = Slice(x, starts, ends) | sizes batch: 3
    Slice of the batch without its last |
      (x: float32[batch, 2]) starts: int64[1] = [0]; ends: int64[1] = [-1]; y = Slice(x, starts, ends) | sizes batch: 3
    Slice of a table to the length of a sequence |
      (x: float32[batch, 3]) table: float32[5, 2] = random(seed 1); starts: int64[1] = [0]; ends = Shape(x) {start=0, end=1};
      y = Slice(table, starts, ends) | except channels: its end is a dimension of another value, and changes with it
    Slice of a table after the length of a sequence |
      (x: float32[batch, 3]) table: float32[5, 2] = random(seed 1); starts = Shape(x) {start=0, end=1};
      ends: int64[1] = [${end}]; y = Slice(table, starts, ends)
      | except channels: its start is a dimension of another value, and changes with it
    Slice of the first of the batch |
      (x: float32[batch, 2]) starts: int64[1] = [0]; ends: int64[1] = [1]; y = Slice(x, starts, ends)
    Slice in the middle of named size |
      (x: float32[batch, 2]) starts: int64[1] = [1]; ends: int64[1] = [3]; y = Slice(x, starts, ends) | sizes batch: 4
    Slice backwards through a named size |
      (x: float32[batch, 2]) starts: int64[1] = [-1]; ends: int64[1] = [-4]; axes: int64[1] = [0]; steps: int64[1] = [-2];
      y = Slice(x, starts, ends, axes, steps) | sizes batch: 5
    Slice with bounds as attributes | opset 9 (x: float32[batch, 5]) y = Slice(x) {starts=[1], ends=[3], axes=[1]}
    Slice of a stored shape |
      () s: int64[4] = [2, 3, 4, 5]; starts: int64[1] = [3]; ends: int64[1] = [0]; axes: int64[1] = [0]; steps: int64[1] = [-2];
      y = Slice(s, starts, ends, axes, steps)
    Slice with bounds computed at run time |
      (x: float32[4], starts: int64[1], ends: int64[1]) y = Slice(x, starts, ends) | no gradient: computed at run time
      | feeds starts: 1 | feeds ends: 3 | except types: its bounds are computed at run time
    Pad of channels with pads as an attribute | opset 10 (x: float32[batch, 3, 2]) y = Pad(x) {pads=[0, 2, 0, 0, 1, 0]}
    Pad with pads as an attribute | opset 10 (x: float32[batch, 3]) y = Pad(x) {pads=[0, 1, 0, 0], value=1.5}
      | no quantize: fills with a value other than 0
    Pad by pads computed at run time |
      (x: float32[3], pads: int64[2]) y = Pad(x, pads) | feeds pads: 1, 1 | no gradient: computed at run time
      | no lower: is primitive | except types: its pads are computed at run time
  `,
  ...pad`
    Pad of images with zeros | batch, 2, 3, 3 | 0, 0, 1, 2, 0, 0, 1, 0
    Pad of channels with zeros | batch, 3, 2 | 0, 2, 0, 0, 1, 0
    Pad with another number | batch, 3 | 0, 1, 0, 1 | value: float32[] = 2.5; y = Pad(x, pads, value) | no quantize: fills with a value other than 0
    Pad of named axes | batch, 3, 2 | 1, 2 | axes: int64[1] = [-1]; y = Pad(x, pads, _, axes)
    Pad of named channels with zeros | batch, 3, 2 | 2, 1 | axes: int64[1] = [1]; y = Pad(x, pads, _, axes)
    Pad by the edge | batch, 3 | 0, 1, 0, 2 | y = Pad(x, pads) | mode="edge"
    Pad by reflection | batch, 4 | 0, 2, 0, 1 | y = Pad(x, pads) | mode="reflect"
    Pad that takes away | batch, 5 | 0, -1, 0, -2
    Pad by going round | batch, 3, 2 | 0, 2, 1, 0, 4, 0 | y = Pad(x, pads) | mode="wrap"
    Pad by reflection, back and forth | 3, 3 | 2, 0, 2, 0 | y = Pad(x, pads) | mode="reflect"
    Pad by the edge, taking away | batch, 5 | 0, 2, 0, -1 | y = Pad(x, pads) | mode="edge"
  `,
];
