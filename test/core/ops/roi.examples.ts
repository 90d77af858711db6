import { between, type Example, example, table } from "./define.examples.ts";

type More = Parameters<typeof example>[2];

const boxes = [0.1, 0.27, 2.33, 2.19, 1.13, 1.21, 4.37, 3.11, 0.57, 0.31, 3.2, 4.43];
const align = table(
  { feeds: { boxes, images: [0, 1, 0] } },
  (settings) =>
    `(x: float32[2, 2, 5, 5], boxes: float32[3, 4], images: int64[3]) y = RoiAlign(x, boxes, images) {${settings}}`,
);
const sample = (title: string, x: string, grid: string, settings = "", more: More = {}): Example =>
  example(title, `(x: float32[${x}], grid: float32[${grid}]) y = GridSample(x, grid) {${settings}}`, {
    feeds: { grid: between(-1.2, 1.2) },
    ...more,
  });
const open = "how many boxes are left depends on the data";

export const regionExamples: readonly Example[] = [
  ...align`
    RoiAlign in the mean | output_height=2, output_width=3
    RoiAlign by the maximum, of another scale |
      mode="max", spatial_scale=0.5, sampling_ratio=2, output_height=2, output_width=2
    RoiAlign of opset 10 | opset 10 | output_height=2, output_width=2
  `,
  sample("GridSample of images", "batch, 2, 3, 4", "batch, 2, 2, 2"),
  sample(
    "GridSample, nearest, of the border",
    "1, 2, 3, 3",
    "1, 2, 3, 2",
    'mode="nearest", padding_mode="border", align_corners=1',
  ),
  sample("GridSample, cubic, by reflection", "1, 1, 4, 4", "1, 2, 2, 2", 'mode="cubic", padding_mode="reflection"'),
  sample("GridSample of volumes", "1, 1, 2, 3, 2", "1, 2, 2, 2, 3"),
  sample("GridSample of opset 16", "1, 2, 3, 3", "1, 2, 2, 2", 'mode="bilinear"', { opset: 16 }),
  ...table()`
    NonMaxSuppression of all boxes |
      (boxes: float32[1, 4, 4], scores: float32[1, 2, 4]) most: int64[] = 2; y = NonMaxSuppression(boxes, scores, most)
      | except types: ${open}
    NonMaxSuppression by overlap and score, boxes by their middles |
      (boxes: float32[2, 4, 4], scores: float32[2, 1, 4]) most: int64[] = 3; overlap: float32[] = 0.4; least: float32[] = 0.1;
      y = NonMaxSuppression(boxes, scores, most, overlap, least) {center_point_box=1}
      | except types: ${open} | feeds scores: from 0 to 1 | feeds boxes: from 0.1 to 1
    NonMaxSuppression of opset 10, which keeps nothing |
      opset 10 (boxes: float32[1, 3, 4], scores: float32[1, 1, 3]) y = NonMaxSuppression(boxes, scores)
      | except types: ${open}
  `,
];
