import * as v from "valibot";
import { encodings } from "../../../core/files/compressed-copies.ts";
import { option } from "../../../core/pass/options.ts";

export const precompressFlag = {
  precompress: option(v.array(v.picklist(encodings)), "also write compressed copies for web servers: .gz, .br", {
    value: "gzip,br",
  }),
};
