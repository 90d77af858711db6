import { clearNotes } from "../../core/pass/notes.ts";
import { definePass, noOptions } from "../../core/pass/pass.ts";

/**
 * Removes exporter metadata from nodes, values and graphs.
 * @example
 * await dropNotes(model);
 */
export const dropNotes = definePass({
  id: "drop-notes",
  summary: "Remove the exporter's metadata",
  options: noOptions,
  async run(model) {
    const what = "exporter's metadata removed";
    return { changes: clearNotes(model).map((at) => ({ at, what, decidedBy: "global" })), misses: [] };
  },
});
