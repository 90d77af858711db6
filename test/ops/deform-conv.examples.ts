import { type Example, table } from "./define.examples.ts";

const shared = {
  except: { cost: "each product is of four places weighed, of which some lie outside" },
};

export const deformConvExamples: readonly Example[] = table(shared)`
  DeformConv with a bias |
    (x: float32[batch, 2, 4, 4], offset: float32[batch, 8, 3, 3]) w: float32[3, 2, 2, 2] = random(seed 1); b: float32[3] = random(seed 2);
    y = DeformConv(x, w, offset, b)
  DeformConv with a mask, padded, with stride |
    (x: float32[1, 1, 4, 4], offset: float32[1, 18, 2, 2], mask: float32[1, 9, 2, 2]) w: float32[2, 1, 3, 3] = random(seed 1);
    b: float32[2] = random(seed 2); y = DeformConv(x, w, offset, b, mask) {kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]}
  DeformConv in groups | (x: float32[1, 2, 3, 3], offset: float32[1, 16, 2, 2]) w: float32[2, 1, 2, 2] = random(seed 1);
    y = DeformConv(x, w, offset) {group=2, offset_group=2}
`;
