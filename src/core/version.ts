/** Pith's version, which results say that they were made by, and which decides whether work of an earlier run can be used. */
export const version = "0.1.0";
