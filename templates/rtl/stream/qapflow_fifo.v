`timescale 1ns / 1ps
// Channel of DEPTH + 1 beats with registers at both ends; deep ones become RAM.
module qapflow_fifo #(
    parameter WIDTH = 8,
    parameter DEPTH = 2
) (
    input wire clk,
    input wire rst,
    input wire [WIDTH-1:0] in_data,
    input wire in_valid,
    output wire in_ready,
    output reg [WIDTH-1:0] out_data,
    output reg out_valid,
    input wire out_ready
);
    localparam BITS = DEPTH > 1 ? $clog2(DEPTH) : 1;
    localparam [31:0] LAST = DEPTH - 1;
    localparam [31:0] FULL = DEPTH;

    reg [WIDTH-1:0] mem [0:DEPTH-1];
    reg [BITS-1:0] head, tail;
    reg [BITS:0] count;
    wire push = in_valid & in_ready;
    wire pop = (count != 0) & (~out_valid | out_ready);

    assign in_ready = count != FULL[BITS:0];

    always @(posedge clk) begin
        if (push) mem[tail] <= in_data;
        if (pop) out_data <= mem[head];
    end

    always @(posedge clk) begin
        if (rst) begin
            head <= 0;
            tail <= 0;
            count <= 0;
            out_valid <= 1'b0;
        end else begin
            if (push) tail <= tail == LAST[BITS-1:0] ? 0 : tail + 1'b1;
            if (pop) head <= head == LAST[BITS-1:0] ? 0 : head + 1'b1;
            if (push & ~pop) count <= count + 1'b1;
            else if (pop & ~push) count <= count - 1'b1;
            if (pop) out_valid <= 1'b1;
            else if (out_ready) out_valid <= 1'b0;
        end
    end
endmodule
