import { type Example, table } from "./define.examples.ts";

const cost = "weighing two or four neighbors is not counted as products";
const gradient = "scales are not varied: the gradient is tried on those to sizes";
const uncounted = { except: { cost } };
const scales = (list: string): string => `scales: float32[${list.split(",").length}] = [${list}];`;
const by = table(
  { except: { gradient } },
  (x, factors, settings = "") => `(x: float32[${x}]) ${scales(factors)} y = Resize(x, _, scales) {${settings}}`,
);
const weighed = table(
  { except: { cost, gradient } },
  (x, factors, settings) => `(x: float32[${x}]) ${scales(factors)} y = Resize(x, _, scales) {${settings}}`,
);
const to = table(
  {},
  (x, sizes, settings = "") =>
    `(x: float32[${x}]) sizes: int64[${sizes.split(",").length}] = [${sizes}]; y = Resize(x, _, _, sizes) {${settings}}`,
);
const linear = 'mode="linear"';
const cubic = 'mode="cubic"';
const placed = (how: string): string => `, coordinate_transformation_mode="${how}"`;

export const resizeExamples: readonly Example[] = [
  ...by`
    Resize to the double, nearest | batch, 2, 3, 3 | 1, 1, 2, 2
    Resize to the half, nearest from the first corner |
      batch, 2, 5, 4 | 1, 1, 0.5, 0.5 | nearest_mode="floor"${placed("asymmetric")}
    Resize by odd factors, nearest, rounding up | 1, 2, 3, 5 | 1, 1, 1.7, 0.6 | nearest_mode="ceil"
    Resize, nearest, halves rounded up |
      1, 1, 4, 6 | 1, 1, 0.5, 1.5 | nearest_mode="round_prefer_ceil"${placed("align_corners")}
    Resize by 1 | batch, 2, 3 | 1, 1, 1
    Resize of named places by 3 halves | batch, 2, height, 4 | 1, 1, 1.5, 2 | sizes height: 5
    Resize, nearest, symmetric, on a number or beside it |
      1, 1, 5, 5 | 1, 1, 1.5, 0.3 | nearest_mode="floor"${placed("half_pixel_symmetric")}
    Resize, nearest above, symmetric | 1, 1, 9, 7 | 1, 1, 2.3, 0.6 | nearest_mode="ceil"${placed("half_pixel_symmetric")}
    Resize by a factor that is too small for another size |
      1, 1, 3, 4 | 1, 1, 1.25, 1.1 | ${linear} | except cost: ${cost} | except gradient: ${gradient}
  `,
  ...table()`
    Resize in TensorFlow's old way |
      opset 11 (x: float32[1, 1, 3, 4]) none: float32[0] = []; ${scales("1, 1, 2, 1.5")} y = Resize(x, none, scales)
      {coordinate_transformation_mode="tf_half_pixel_for_nn"}
    Resize of a region, some of it outside |
      (x: float32[1, 1, 4, 4]) region: float32[8] = [0, 0, 0.4, 0.6, 1, 1, 1.2, 1.7]; sizes: int64[4] = [1, 1, 3, 3];
      y = Resize(x, region, _, sizes) {mode="linear", coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=10.0}
      | no lower: inference only | except gradient: ${gradient}
    Resize of a region by scales |
      (x: float32[1, 1, 5, 7]) region: float32[8] = [0, 0, 0.1, -0.2, 1, 1, 0.7, 1.2]; ${scales("1, 1, 1.5, 0.6")}
      y = Resize(x, region, scales) {mode="linear", coordinate_transformation_mode="tf_crop_and_resize"}
      | no lower: inference only | except gradient: ${gradient}
    Resize of opset 10 | opset 10 (x: float32[batch, 1, 3, 3]) ${scales("1, 1, 2, 0.6")} y = Resize(x, scales)
    Resize of opset 11, with empty inputs |
      opset 11 (x: float32[batch, 1, 2, 2]) none: float32[0] = []; sizes: int64[4] = [2, 1, 3, 3];
      y = Resize(x, none, none, sizes) {mode="linear"} | except cost: ${cost}
    Upsample of opset 9 | opset 9 (x: float32[batch, 2, 2, 2]) ${scales("1, 1, 2, 3")} y = Upsample(x, scales)
    Upsample of opset 7 | opset 7 (x: float32[batch, 1, 2, 3]) y = Upsample(x) {scales=[1.0, 1.0, 2.0, 1.5]}
  `,
  ...weighed`
    Resize to the double, linear | batch, 2, 3, 3 | 1, 1, 2, 2 | ${linear}
    Resize, linear, corners aligned | 1, 2, 3, 4 | 1, 1, 2, 1.5 | ${linear}${placed("align_corners")}
    Resize, linear, as PyTorch | 1, 1, 4, 4 | 1, 1, 0.3, 0.5 | ${linear}${placed("pytorch_half_pixel")}
    Resize, linear, symmetric | 1, 1, 4, 5 | 1, 1, 2.3, 0.7 | ${linear}${placed("half_pixel_symmetric")}
    Resize, linear, from the first corner | 2, 1, 4, 3 | 1, 1, 0.5, 3 | ${linear}${placed("asymmetric")}
    Resize, linear, downsampled with antialiasing | 1, 1, 6, 6 | 1, 1, 0.5, 0.4 | ${linear}, antialias=1
    Resize of volumes, linear | 1, 1, 2, 3, 2 | 1, 1, 2, 2, 1.5 | ${linear}
    Resize, cubic | 1, 2, 4, 4 | 1, 1, 1.5, 0.8 | ${cubic}
    Resize, cubic, what lies outside left out | 1, 1, 4, 4 | 1, 1, 2, 0.8 | ${cubic}, cubic_coeff_a=-0.5, exclude_outside=1
    Resize, cubic, downsampled with antialiasing | 1, 1, 8, 6 | 1, 1, 0.5, 0.6 | ${cubic}, antialias=1, cubic_coeff_a=-0.5
  `,
  ...to`
    Resize to sizes | batch, 2, 3, 3 | 2, 2, 7, 5 | sizes batch: 2
    Resize to sizes of two axes | batch, 2, 3, 4 | 6, 5 | axes=[2, 3]
    Resize to no more than sizes, in proportion | 1, 2, 4, 6 | 8, 9 | axes=[2, 3], keep_aspect_ratio_policy="not_larger"
    Resize to no less than sizes, in proportion | 1, 2, 4, 6 | 3, 3 | axes=[2, 3], keep_aspect_ratio_policy="not_smaller"
    Resize to sizes, linear | 2, 2, 3, 3 | 2, 2, 7, 2 | ${linear} | except cost: ${cost}
    Resize to sizes, cubic | 1, 2, 4, 4 | 1, 2, 7, 3 | ${cubic} | except cost: ${cost}
  `,
  ...table({ ...uncounted })`
    Upsample, linear | opset 9 (x: float32[batch, 1, 2, 2]) ${scales("1, 1, 2, 2")} y = Upsample(x, scales) {mode="linear"}
  `,
];
