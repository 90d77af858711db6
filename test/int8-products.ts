/** Whether this processor multiplies uint8 by int8 of 8 bits exactly: x86 without VNNI adds two neighboring products in 16 bits, with saturation. */
import { existsSync, readFileSync } from "node:fs";
import { arch } from "node:process";

const flags = "/proc/cpuinfo";

export const hasExactProducts = arch !== "x64" || !existsSync(flags) || /vnni/.test(readFileSync(flags, "utf8"));
