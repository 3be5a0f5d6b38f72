`timescale 1ns / 1ps
// Nearest-neighbour upsampling: each pixel FW times, each row FH times.
module qapflow_repeat #(
    parameter WIDTH = 8,
    parameter WIDTH_IN = 4,
    parameter FH = 2,
    parameter FW = 2
) (
    input wire clk,
    input wire rst,
    input wire [WIDTH-1:0] in_data,
    input wire in_valid,
    output wire in_ready,
    output wire [WIDTH-1:0] out_data,
    output wire out_valid,
    input wire out_ready
);
    localparam CB = $clog2(WIDTH_IN + 1);
    localparam HB = $clog2(FH + 1);
    localparam WB = $clog2(FW + 1);
    localparam [31:0] LAST_COPY = FW - 1;
    localparam [31:0] LAST_COL = WIDTH_IN - 1;
    localparam [31:0] LAST_TURN = FH - 1;
    reg [CB-1:0] col;
    reg [HB-1:0] turn;
    reg [WB-1:0] copy;
    wire fresh = turn == 0;  // the row comes from the input, later turns from the buffer
    wire last_copy = copy == LAST_COPY[WB-1:0];
    wire last_col = col == LAST_COL[CB-1:0];
    wire last_turn = turn == LAST_TURN[HB-1:0];
    wire step = out_valid & out_ready;
    wire [CB-1:0] next_col = last_col ? 0 : col + 1'b1;

    assign out_valid = fresh ? in_valid : 1'b1;
    assign in_ready = fresh & last_copy & out_ready;

    generate
        if (FH == 1) begin : no_buffer
            assign out_data = in_data;
        end else begin : buffer
            reg [WIDTH-1:0] again;
            assign out_data = fresh ? in_data : again;
            if (WIDTH_IN == 1) begin : one
                always @(posedge clk) if (step & fresh) again <= in_data;
            end else begin : many
                reg [WIDTH-1:0] mem [0:WIDTH_IN-1];
                always @(posedge clk) if (step & last_copy) begin
                    if (fresh) mem[col[$clog2(WIDTH_IN)-1:0]] <= in_data;
                    again <= mem[next_col[$clog2(WIDTH_IN)-1:0]];
                end
            end
        end
    endgenerate

    always @(posedge clk) begin
        if (rst) begin
            col <= 0;
            turn <= 0;
            copy <= 0;
        end else if (step) begin
            copy <= last_copy ? 0 : copy + 1'b1;
            if (last_copy) begin
                col <= next_col;
                if (last_col) turn <= last_turn ? 0 : turn + 1'b1;
            end
        end
    end
endmodule
