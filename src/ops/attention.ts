// OPS-NN: your file src/ops/attention.ts was overwritten by mistake at 12:02:02 (another file was to have this name). Nothing else was touched.
// Please write it again from your record; sorry. This stands here so that src/ops/index.ts loads meanwhile. Do not commit it.
import type { Op } from "./define.ts";

export const attentionOperators: readonly Op[] = [];
