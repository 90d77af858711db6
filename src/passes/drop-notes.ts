/**
 * What an exporter notes beside the graph about how it got there: the line of Python that a node comes from, the classes around it, what was
 * folded into a tensor. It may be most of a small file, and no runtime and no technique reads it.
 *
 *     "pkg.torch.onnx.stack_trace": 'File "model.py", line 26, in forward …'     →     (gone)
 *
 * What gives layers their names stays, and so does what the user may have written: metadata of the model, and entries and texts of other kinds.
 */
import * as v from "valibot";
import { scopesKey } from "../analysis/layer-names.ts";
import { allGraphs, type Carried, describe } from "../graph/graph.ts";
import { type Change, definePass } from "./pass.ts";

/** Keys of torch.onnx and of onnxscript. */
const notes = /^(pkg\.(torch|onnxscript)\..*|namespace)$/;

/** A text that is where in a program a node was made: that is how older exporters of PyTorch documented nodes. */
const trace = /\.py\(\d+\): |^\s*File ".*", line \d+/m;

/**
 * Drops notes of the exporter from nodes, values and graphs.
 * @example
 * ```ts
 * await dropNotes(model);
 * ```
 */
export const dropNotes = definePass({
  id: "drop-notes",
  summary: "Drop what the exporter noted about itself",
  options: v.strictObject({}),
  async run(model) {
    const changes: Change[] = [];
    const clear = (at: string, carried: Carried): void => {
      const keys = [...carried.metadata.keys()].filter((key) => notes.test(key) && key !== scopesKey);
      const traced = carried.doc !== undefined && trace.test(carried.doc);
      if (keys.length === 0 && !traced) return;
      for (const key of keys) carried.metadata.delete(key);
      if (traced) carried.doc = undefined;
      changes.push({ at, what: "notes of the exporter dropped", decidedBy: "global" });
    };
    for (const graph of allGraphs(model.graph)) {
      clear(graph.name, graph);
      for (const node of graph.nodes()) clear(describe(node), node);
      for (const value of graph.values()) clear(value.name, value);
    }
    return { changes, misses: [] };
  },
});
