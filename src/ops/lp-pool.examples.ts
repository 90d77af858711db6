/** Pooling by norms, and what undoes pooling and cutting into windows. */
import { type Example, example, table } from "./define.examples.ts";

type More = Parameters<typeof example>[2];

const lp = table({}, (x, settings) => `(x: float32[batch, ${x}]) y = LpPool(x) {${settings}}`);
const overall = table({}, (x, settings = "") => `(x: float32[batch, ${x}]) y = GlobalLpPool(x) {${settings}}`);
const unpool = (title: string, x: string, indices: readonly number[], settings: string, more: More = {}): Example =>
  example(title, `(x: float32[${x}], at: int64[${x}]) y = MaxUnpool(x, at) {${settings}}`, {
    ...more,
    feeds: { at: indices },
  });
const blocks = table(
  { except: { cost: "adding up is written as a product with ones" } },
  (x, image, block, settings = "") =>
    `(x: float32[${x}]) image: int64[2] = [${image}]; block: int64[2] = [${block}]; y = Col2Im(x, image, block) {${settings}}`,
);

export const lpPoolExamples: readonly Example[] = [
  ...lp`
    LpPool by the root of squares | 2, 4, 4 | kernel_shape=[2, 2], strides=[2, 2]
    LpPool by sizes, padded | 1, 3, 4 | kernel_shape=[2, 3], pads=[1, 1, 0, 1], p=1
    LpPool by cubes, padded to the same size | 2, 5 | kernel_shape=[3], p=3, auto_pad="SAME_UPPER"
    LpPool of opset 11 | opset 11 | 2, 4, 4 | kernel_shape=[2, 2]
    LpPool, dilated | 1, 5, 5 | kernel_shape=[2, 2], dilations=[2, 2] | no lower: dilated | no gradient: lowered first
  `,
  ...overall`
    GlobalLpPool by the root of squares | 2, 3, 3
    GlobalLpPool by sizes | 3, 4 | p=1
    GlobalLpPool by cubes, of opset 7 | opset 7 | 2, 2, 2 | p=3
  `,
  unpool("MaxUnpool of images", "1, 1, 2, 2", [5, 7, 13, 15], "kernel_shape=[2, 2], strides=[2, 2]"),
  unpool("MaxUnpool along one axis, of opset 9", "1, 2, 2", [1, 2, 5, 7], "kernel_shape=[2], strides=[2]", {
    opset: 9,
  }),
  ...table()`
    MaxUnpool to a given size | (x: float32[1, 1, 2, 2], at: int64[1, 1, 2, 2]) size: int64[4] = [1, 1, 5, 5];
      y = MaxUnpool(x, at, size) {kernel_shape=[2, 2], strides=[2, 2]} | feeds at: 6, 8, 16, 18
  `,
  ...blocks`
    Col2Im without overlap | batch, 8, 4 | 4, 4 | 2, 2 | strides=[2, 2]
    Col2Im with overlap and padding | 1, 6, 12 | 3, 4 | 2, 3 | pads=[1, 0, 1, 1]
    Col2Im, dilated | batch, 4, 6 | 4, 5 | 2, 2 | dilations=[2, 2]
  `,
];
