// The reference that the opcode table is made from and checked against: LLVM's own decoder and instruction tables.
//
// Only needed to make the table anew; see README.md. Reads lines of hexadecimal machine code from standard input.
// For each line it writes one line for each decoded instruction and then one line that ends the block:
//
//   I <length> <opcode> <Intel text> <AT&T text> <prefixes> <mnemonic> <out> <implicit out> <in> <implicit in>
//   E <undecoded bytes>
// With the argument --first only the first instruction of each line is decoded, and what follows it is not looked at.
// Fields are separated by tabs, operands by spaces, in the notation of the committed reference rows:
//   RAX | mem | addr(base,displacement,index,scale,segment) | imm:<signed value>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "llvm/MC/MCAsmInfo.h"
#include "llvm/MC/MCContext.h"
#include "llvm/MC/MCDisassembler/MCDisassembler.h"
#include "llvm/MC/MCInst.h"
#include "llvm/MC/MCInstPrinter.h"
#include "llvm/MC/MCInstrDesc.h"
#include "llvm/MC/MCInstrInfo.h"
#include "llvm/MC/MCRegisterInfo.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/MCTargetOptions.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Triple.h"

using namespace llvm;

namespace {

class Reference {
 public:
  Reference() {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86Disassembler();
    const std::string triple = "x86_64";
    std::string error;
    const Target* target = TargetRegistry::lookupTarget(triple, error);
    if (!target) {
      std::cerr << error << "\n";
      std::exit(1);
    }
    registers_.reset(target->createMCRegInfo(triple));
    asm_info_.reset(target->createMCAsmInfo(*registers_, triple, options_));
    instructions_.reset(target->createMCInstrInfo());
    subtarget_.reset(target->createMCSubtargetInfo(triple, "", ""));
    context_ = std::make_unique<MCContext>(Triple(triple), asm_info_.get(), registers_.get(), subtarget_.get());
    disassembler_.reset(target->createMCDisassembler(*subtarget_, *context_));
    att_.reset(target->createMCInstPrinter(Triple(triple), 0, *asm_info_, *instructions_, *registers_));
    intel_.reset(target->createMCInstPrinter(Triple(triple), 1, *asm_info_, *instructions_, *registers_));
  }

  void DecodeBlock(ArrayRef<uint8_t> code, bool only_first, std::string& out) {
    while (!code.empty()) {
      MCInst instruction;
      uint64_t size = 0;
      const auto status = disassembler_->getInstruction(instruction, size, code, 0, nulls());
      if (status != MCDisassembler::Success || size == 0 || size > code.size()) break;
      WriteInstruction(instruction, size, out);
      code = code.drop_front(size);
      if (only_first) break;
    }
    out += "E\t" + std::to_string(code.size()) + "\n";
  }

 private:
  std::string Print(MCInstPrinter& printer, const MCInst& instruction) {
    std::string text;
    raw_string_ostream stream(text);
    printer.printInst(&instruction, 0, "", *subtarget_, stream);
    stream.flush();
    for (char& c : text) {
      if (c == '\t' || c == '\n') c = '|';
    }
    return text;
  }

  // The five operands of a memory reference all say that they are one; string instructions have only two, and those
  // of LEA, which does not access memory, say nothing.
  int MemoryIndex(const MCInstrDesc& description) {
    const auto operands = description.operands();
    const std::string name = instructions_->getName(description.getOpcode()).str();
    if (name == "LEA16r" || name == "LEA32r" || name == "LEA64r" || name == "LEA64_32r") return 1;
    for (size_t i = 0; i + 5 <= operands.size(); ++i) {
      bool all = true;
      for (size_t k = 0; k < 5; ++k) all = all && operands[i + k].OperandType == MCOI::OPERAND_MEMORY;
      if (all) return static_cast<int>(i);
    }
    return -1;
  }

  std::string RegisterName(unsigned number) { return number ? registers_->getName(number) : ""; }

  void WriteInstruction(const MCInst& instruction, uint64_t size, std::string& out) {
    const MCInstrDesc& description = instructions_->get(instruction.getOpcode());
    const std::string intel = Print(*intel_, instruction);
    std::vector<std::string> prefixes;
    std::string mnemonic;
    SplitMnemonic(intel, prefixes, mnemonic);
    std::vector<std::string> outputs;
    std::vector<std::string> inputs;
    if (description.mayLoad()) inputs.push_back("mem");
    if (description.mayStore()) outputs.push_back("mem");
    AddOperands(instruction, description, outputs, inputs);
    std::vector<std::string> implicit_outputs;
    std::vector<std::string> implicit_inputs;
    for (auto number : description.implicit_defs()) implicit_outputs.push_back(RegisterName(number));
    for (auto number : description.implicit_uses()) implicit_inputs.push_back(RegisterName(number));
    out += "I\t" + std::to_string(size) + "\t" + instructions_->getName(instruction.getOpcode()).str() + "\t" + intel;
    out += "\t" + Print(*att_, instruction) + "\t" + Join(prefixes) + "\t" + mnemonic + "\t" + Join(outputs);
    out += "\t" + Join(implicit_outputs) + "\t" + Join(inputs) + "\t" + Join(implicit_inputs) + "\n";
  }

  void AddOperands(const MCInst& instruction, const MCInstrDesc& description, std::vector<std::string>& outputs,
                   std::vector<std::string>& inputs) {
    const int memory_index = MemoryIndex(description);
    const unsigned count = std::min<unsigned>(description.getNumOperands(), instruction.getNumOperands());
    for (unsigned i = 0; i < count; ++i) {
      auto& list = i < description.getNumDefs() ? outputs : inputs;
      if (static_cast<int>(i) == memory_index) {
        list.push_back("addr(" + RegisterName(instruction.getOperand(i).getReg()) + "," +
                       std::to_string(instruction.getOperand(i + 3).getImm()) + "," +
                       RegisterName(instruction.getOperand(i + 2).getReg()) + "," +
                       std::to_string(instruction.getOperand(i + 1).getImm()) + "," +
                       RegisterName(instruction.getOperand(i + 4).getReg()) + ")");
        i += 4;
        continue;
      }
      const MCOperand& operand = instruction.getOperand(i);
      if (operand.isReg()) {
        if (operand.getReg()) list.push_back(RegisterName(operand.getReg()));
      } else if (operand.isImm()) {
        list.push_back("imm:" + std::to_string(operand.getImm()));
      } else {
        list.push_back("?");
      }
    }
  }

  static void SplitMnemonic(const std::string& text, std::vector<std::string>& prefixes, std::string& mnemonic) {
    std::vector<std::string> pieces;
    std::string piece;
    for (char c : text + " ") {
      if (c == '|' || c == '\r' || c == ' ') {
        if (!piece.empty()) pieces.push_back(piece);
        piece.clear();
      } else {
        piece += c;
      }
    }
    if (pieces.size() == 1) {
      mnemonic = pieces[0];
      return;
    }
    for (auto& p : pieces) {
      for (char& c : p) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      if (p == "REP" || p == "LOCK" || p == "REPNE" || p == "REPE") {
        prefixes.push_back(p);
      } else {
        mnemonic = p;
        return;
      }
    }
  }

  static std::string Join(const std::vector<std::string>& parts) {
    std::string joined;
    for (const auto& part : parts) joined += (joined.empty() ? "" : " ") + part;
    return joined;
  }

  MCTargetOptions options_;
  std::unique_ptr<MCRegisterInfo> registers_;
  std::unique_ptr<MCAsmInfo> asm_info_;
  std::unique_ptr<MCInstrInfo> instructions_;
  std::unique_ptr<MCSubtargetInfo> subtarget_;
  std::unique_ptr<MCContext> context_;
  std::unique_ptr<MCDisassembler> disassembler_;
  std::unique_ptr<MCInstPrinter> att_;
  std::unique_ptr<MCInstPrinter> intel_;
};

}  // namespace

int main(int argc, char** argv) {
  const bool only_first = argc > 1 && std::string(argv[1]) == "--first";
  std::ios::sync_with_stdio(false);
  Reference reference;
  std::string line;
  std::string out;
  while (std::getline(std::cin, line)) {
    std::vector<uint8_t> code;
    for (size_t i = 0; i + 1 < line.size(); i += 2) {
      code.push_back(static_cast<uint8_t>(std::stoi(line.substr(i, 2), nullptr, 16)));
    }
    out.clear();
    reference.DecodeBlock(code, only_first, out);
    std::cout << out;
  }
  return 0;
}
