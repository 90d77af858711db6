/** Image regions and sampling grids, for inference only: RoiAlign, GridSample, NonMaxSuppression. */
import { Miss } from "#graph";
import { readFloat, readInteger } from "./shared/attributes.ts";
import { defineInert, linkChannels } from "./shared/inert.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { inferShape, requirePositions } from "./shared/shapes.ts";

export const RoiAlign = defineInert(inferenceOnly, {
  name: "RoiAlign",
  // Before opset 16, boxes were not shifted by half a pixel.
  renamed: { since: 16, attribute: "coordinate_transformation_mode", absent: "output_half_pixel" },
  read: (site) => ({
    height: readInteger(site, "output_height", 1),
    width: readInteger(site, "output_width", 1),
    scale: readFloat(site, "spatial_scale", 1),
  }),
  infer: (s, site) =>
    inferShape(
      site,
      ([, channels = 1] = [], [boxes = 1] = []) => [boxes, channels, s.height, s.width],
      undefined,
      [0, 1],
    ),
  axes: linkChannels,
  // The number of samples grows with the box: ONNX Runtime runs out of memory for boxes far larger than the image.
  wants: (s, site) => {
    const [images, , height, width] = site.inputs[0]?.dims ?? [];
    const areSizesKnown = typeof height === "number" && typeof width === "number";
    return [
      ...(areSizesKnown
        ? [{ input: 1, low: 0, high: Math.ceil(Math.min(height, width) / s.scale), strict: true }]
        : []),
      ...requirePositions(2, images),
    ];
  },
});

export const GridSample = defineInert(inferenceOnly, {
  name: "GridSample",
  renamed: { since: 20, attribute: "mode", values: { bilinear: "linear", bicubic: "cubic" } },
  infer: (_, site) =>
    inferShape(site, (dims = [], grid = []) => [...dims.slice(0, 2), ...grid.slice(1, -1)], undefined, [0, 1]),
  axes: linkChannels,
});

export const NonMaxSuppression = defineInert(new Miss("selects indices"), {
  name: "NonMaxSuppression",
  infer: (_, site) => [{ type: "int64", dims: [site.open(0, 0), 3] }],
});
