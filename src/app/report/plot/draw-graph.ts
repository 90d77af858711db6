/** Returns the drawing of a model as data, for pages that draw it themselves. */
import { cost } from "../../../core/analysis/cost.ts";
import { infer } from "../../../core/analysis/infer.ts";
import { layers } from "../../../core/analysis/layers.ts";
import type { Model } from "../../../core/graph/model.ts";
import { draw, type Frame, noteOf, type PlacedBox, titleOf } from "./draw.ts";
import { type Box, collectPictures } from "./graph.ts";

/** A node, a group of nodes, an input or an output. `x` and `y` are its center. */
export interface DrawnBox extends PlacedBox, Pick<Box, "family" | "name" | "inputs" | "outputs"> {
  readonly label: string;
  /** Dimensions of the output, if they differ from the input's. */
  readonly note: string | undefined;
}

export interface GraphDrawing {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly DrawnBox[];
  /** Curves of SVG paths, and the vertical range that each covers. */
  readonly lines: readonly { readonly d: string; readonly top: number; readonly bottom: number }[];
  readonly frames: readonly Frame[];
}

/**
 * Draws the main graph of a model as `pith plot` does: in rows from inputs to outputs, with repeated blocks in frames. Lengths are in pixels.
 * @example
 * const { width, height, boxes } = drawGraph(await open("resnet20.onnx"));
 */
export function drawGraph(model: Model): GraphDrawing {
  const copy = model.clone();
  copy.graph.sort();
  const inference = infer(copy);
  const [picture] = collectPictures(copy, inference, layers(copy, inference), cost(copy, inference));
  const { places, lines, frames, width, height } = draw(picture);
  const boxes = picture.boxes.map((box, index): DrawnBox => {
    const { family, name, inputs, outputs } = box;
    const place = places[index] ?? { x: 0, y: 0, width: 0, height: 0 };
    return { ...place, family, name, inputs, outputs, label: titleOf(box), note: noteOf(box) };
  });
  return { width, height, boxes, lines: lines.map(({ d, top, bottom }) => ({ d, top, bottom })), frames };
}
