`timescale 1ns / 1ps
// FIRST beats of a, then SECOND beats of b, and so on.
module qapflow_braid #(
    parameter WIDTH = 8,
    parameter FIRST = 1,
    parameter SECOND = 1
) (
    input wire clk,
    input wire rst,
    input wire [WIDTH-1:0] a_data,
    input wire a_valid,
    output wire a_ready,
    input wire [WIDTH-1:0] b_data,
    input wire b_valid,
    output wire b_ready,
    output wire [WIDTH-1:0] out_data,
    output wire out_valid,
    input wire out_ready
);
    localparam BITS = $clog2(FIRST + SECOND + 1);
    localparam [31:0] SPLIT = FIRST;
    localparam [31:0] LAST = FIRST + SECOND - 1;
    reg [BITS-1:0] count;
    wire from_a = count < SPLIT[BITS-1:0];

    assign out_data = from_a ? a_data : b_data;
    assign out_valid = from_a ? a_valid : b_valid;
    assign a_ready = from_a & out_ready;
    assign b_ready = ~from_a & out_ready;

    always @(posedge clk) begin
        if (rst) count <= 0;
        else if (out_valid & out_ready)
            count <= count == LAST[BITS-1:0] ? 0 : count + 1'b1;
    end
endmodule
