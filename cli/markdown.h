/* markdown.h -- pages of the documentation that are made from tables, on stdout. */
#ifndef TIGER_CLI_MARKDOWN_H
#define TIGER_CLI_MARKDOWN_H

void cli_markdown_optimizers(void);

#endif
