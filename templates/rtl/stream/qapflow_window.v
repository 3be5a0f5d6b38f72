`timescale 1ns / 1ps
// Line buffer: pixels of an image in row-major order, out come windows in row-major order.
// Steps over the padded image, one pixel a step; a negative pad crops.
module qapflow_window #(
    parameter WIDTH = 8,
    parameter HEIGHT_IN = 4,
    parameter WIDTH_IN = 4,
    parameter TOP = 0,
    parameter BOTTOM = 0,
    parameter LEFT = 0,
    parameter RIGHT = 0,
    parameter KH = 3,
    parameter KW = 3,
    parameter SH = 1,
    parameter SW = 1,
    parameter DH = 1,
    parameter DW = 1,
    parameter [WIDTH-1:0] FILL = 0
) (
    input wire clk,
    input wire rst,
    input wire [WIDTH-1:0] in_data,
    input wire in_valid,
    output wire in_ready,
    output wire [KH*KW*WIDTH-1:0] out_data,
    output wire out_valid,
    input wire out_ready
);
    localparam PT = TOP > 0 ? TOP : 0;
    localparam PL = LEFT > 0 ? LEFT : 0;
    localparam ROWS = HEIGHT_IN + PT + (BOTTOM > 0 ? BOTTOM : 0);
    localparam COLS = WIDTH_IN + PL + (RIGHT > 0 ? RIGHT : 0);
    localparam SPAN_H = (KH - 1) * DH + 1;
    localparam SPAN_W = (KW - 1) * DW + 1;
    localparam [31:0] FIRST_ROW = (TOP < 0 ? -TOP : 0) + SPAN_H - 1;
    localparam [31:0] FIRST_COL = (LEFT < 0 ? -LEFT : 0) + SPAN_W - 1;
    localparam [31:0] LAST_ROW = FIRST_ROW + ((HEIGHT_IN + TOP + BOTTOM - SPAN_H) / SH) * SH;
    localparam [31:0] LAST_COL = FIRST_COL + ((WIDTH_IN + LEFT + RIGHT - SPAN_W) / SW) * SW;
    localparam RB = $clog2(ROWS + SH + 1);
    localparam CB = $clog2(COLS + SW + 1);
    localparam [31:0] END_ROW = ROWS - 1;
    localparam [31:0] END_COL = COLS - 1;
    localparam [31:0] STEP_ROW = SH;
    localparam [31:0] STEP_COL = SW;
    localparam [31:0] ABOVE = PT;
    localparam [31:0] BEFORE = PL;
    localparam [31:0] HIGH = HEIGHT_IN;
    localparam [31:0] WIDE = WIDTH_IN;

    reg [RB-1:0] row, emit_row;  // the next row whose end completes windows
    reg [CB-1:0] col, emit_col;
    wire end_of_row = col == END_COL[CB-1:0];
    wire end_of_image = end_of_row & (row == END_ROW[RB-1:0]);
    wire started = (row != 0) | (col != 0) | in_valid;

    wire [RB:0] image_row = {1'b0, row} - ABOVE[RB:0];  // wraps to a large number above it
    wire [CB:0] image_col = {1'b0, col} - BEFORE[CB:0];
    wire in_image = (image_row < HIGH[RB:0]) & (image_col < WIDE[CB:0]);
    wire emits = (row == emit_row) & (col == emit_col);
    wire go_in = ~in_image | in_valid;
    wire go_out = ~emits | out_ready;
    wire step = started & go_in & go_out;

    assign in_ready = in_image & started & go_out;
    assign out_valid = emits & started & go_in;

    wire [WIDTH-1:0] pixel = in_image ? in_data : FILL;
    wire [SPAN_H*WIDTH-1:0] column;  // the oldest row lowest
    wire [CB-1:0] next_col = end_of_row ? 0 : col + 1'b1;

    generate
        if (SPAN_H == 1) begin : no_lines
            assign column = pixel;
        end else begin : lines
            localparam LW = (SPAN_H - 1) * WIDTH;
            reg [LW-1:0] above;
            assign column = {pixel, above};
            if (COLS == 1) begin : one
                always @(posedge clk) if (step) above <= column[WIDTH +: LW];
            end else begin : many
                reg [LW-1:0] mem [0:COLS-1];
                always @(posedge clk) if (step) begin
                    mem[col[$clog2(COLS)-1:0]] <= column[WIDTH +: LW];
                    above <= mem[next_col[$clog2(COLS)-1:0]];
                end
            end
        end
    endgenerate

    wire [KH*WIDTH-1:0] taken;
    genvar i, j;
    generate
        for (i = 0; i < KH; i = i + 1) begin : rows
            assign taken[i*WIDTH +: WIDTH] = column[i*DH*WIDTH +: WIDTH];
        end
        if (SPAN_W == 1) begin : no_past
            assign out_data = taken;
        end else begin : with_past
            localparam PW = (SPAN_W - 1) * KH * WIDTH;
            reg [PW-1:0] past;  // the oldest column lowest
            wire [PW+KH*WIDTH-1:0] all = {taken, past};
            always @(posedge clk) if (step) past <= all[KH*WIDTH +: PW];
            for (i = 0; i < KH; i = i + 1) begin : out_rows
                for (j = 0; j < KW; j = j + 1) begin : out_cols
                    assign out_data[(i*KW+j)*WIDTH +: WIDTH] = all[(j*DW*KH+i)*WIDTH +: WIDTH];
                end
            end
        end
    endgenerate

    always @(posedge clk) begin
        if (rst) begin
            row <= 0;
            col <= 0;
            emit_row <= FIRST_ROW[RB-1:0];
            emit_col <= FIRST_COL[CB-1:0];
        end else if (step) begin
            col <= next_col;
            if (end_of_row) begin
                row <= end_of_image ? 0 : row + 1'b1;
                if (row == emit_row)
                    emit_row <= row == LAST_ROW[RB-1:0] ? FIRST_ROW[RB-1:0] : emit_row + STEP_ROW[RB-1:0];
            end
            if (col == emit_col)
                emit_col <= col == LAST_COL[CB-1:0] ? FIRST_COL[CB-1:0] : emit_col + STEP_COL[CB-1:0];
        end
    end
endmodule
