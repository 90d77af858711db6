import * as v from "valibot";
import { option } from "../../core/pass/options.ts";
import { encodings } from "../../data/compressed-copies.ts";

export const precompressFlag = {
  precompress: option(v.array(v.picklist(encodings)), "also write compressed copies for web servers: .gz, .br", {
    value: "gzip,br",
  }),
};
